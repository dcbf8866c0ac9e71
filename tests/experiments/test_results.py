import pytest

from experiments.framework.errors import UserError
from experiments.framework.notebook import obtain
from tests.experiments.stub_job import Options

JOB = "tests.experiments.stub_job"


def test_a_run_is_made_once_and_found_again(tmp_path):
    first = obtain(JOB, Options(x=3.0), tmp_path)
    assert first.summary["headline"] == {"square": 9.0}
    changed = (first.path / "status.json").stat().st_mtime_ns
    again = obtain(JOB, Options(x=3.0, out=tmp_path / "elsewhere"), tmp_path)
    assert again == first
    assert (again.path / "status.json").stat().st_mtime_ns == changed
    assert obtain(JOB, Options(x=4.0), tmp_path).path != first.path


def test_a_failure_is_told_with_its_log(tmp_path):
    with pytest.raises(UserError, match=r"exit code 1: .*on purpose; see .*\.log"):
        obtain(JOB, Options(end="raise"), tmp_path)


def test_a_figure_that_is_not_there(tmp_path):
    result = obtain(JOB, Options(), tmp_path)
    (result.path / "figures").mkdir()
    (result.path / "figures" / "one.png").touch()
    assert result.figure("one").endswith("one.png")
    with pytest.raises(UserError, match="has no figure 'two'; it has one"):
        result.figure("two")
