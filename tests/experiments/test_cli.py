import subprocess
import sys

import pytest

from experiments.framework.command_line import job_names, main
from experiments.framework.run_directory import RunDirectory


def _fails(capsys, *arguments):
    """Runs the command line in this process; returns what it says on stderr."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dataset", "no_such_data"], "no_such_data"),
        (["--seeds", "0"], "--seeds 0"),
        (["--shadow-models", "5"], "--shadow-models 5 must be even"),
        (["--epochs", "0"], "--epochs 0"),
        (["--gate-quantile", "1.5"], "--gate-quantile 1.5"),
        (["--delta", "1"], "--delta 1.0"),
        (["--epsilons", "-2"], "--epsilons -2.0"),
        (["--relative-ridge", "0"], "--relative-ridge 0.0"),
        (["--censor-fractions", "1"], "--censor-fractions 1.0"),
        (["--defenses", "gate"], "must start with sgd"),
        (["--recipes", "/no/such/file"], "/no/such/file"),
        (["--model", "convnet", "--dataset", "breast_cancer"], "models.mlp"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(capsys, arguments, says):
    assert says in _fails(capsys, "compare", *arguments)


def test_a_completed_run_is_not_overwritten(capsys, tmp_path):
    with RunDirectory(tmp_path / "run", {}):
        pass
    assert "--overwrite" in _fails(capsys, "compare", "--out", str(tmp_path / "run"))


def test_an_unwritable_place_is_refused_before_any_work(capsys, tmp_path):
    (tmp_path / "file").touch()
    error = _fails(capsys, "compare", "--out", str(tmp_path / "file" / "run"))
    assert "file" in error


def test_a_file_that_holds_no_recipes_is_refused(capsys, tmp_path):
    path = tmp_path / "recipes.json"
    path.write_text('{"recipes": {"sgd": {"speed": 1}}, "dataset": "digits"}')
    assert "tune" in _fails(capsys, "compare", "--recipes", str(path))


def test_unknown_job_and_unknown_option(capsys):
    assert "choose one of" in _fails(capsys, "compaer")
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--sedes", "3"])
    assert stopped.value.code == 2


@pytest.mark.parametrize("job", job_names())
def test_every_job_has_help_for_every_option(capsys, job):
    with pytest.raises(SystemExit) as stopped:
        main([job, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "--out" in text
    assert "(required)" not in text


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "--help"], capture_output=True, text=True, check=True
    )
    assert all(job in done.stdout for job in job_names())
