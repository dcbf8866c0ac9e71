import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from experiments.framework.run_directory import RunDirectory, config_hash, is_complete


def test_a_run_appears_under_its_name_only_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "run"
    with RunDirectory(path, {"seeds": 3}) as run:
        run.file("figures/a.txt").write_text("a")
        assert not path.exists()
    assert is_complete(path)
    assert (path / "figures" / "a.txt").read_text() == "a"
    assert [entry.name for entry in path.parent.iterdir()] == ["run"]
    config = json.loads((path / "config.json").read_text())
    assert config["seeds"] == 3
    assert config["environment"]["versions"]["jax"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_the_cores_of_a_run_are_those_that_it_may_use(tmp_path):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with RunDirectory(tmp_path / "run", {}):
            pass
    finally:
        os.sched_setaffinity(0, allowed)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["environment"]["cpus"] == 1


def test_a_failed_run_keeps_its_files_and_traceback_under_another_name(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        _fail_halfway(path)
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("run.failed-")
    assert not is_complete(aside)
    status = json.loads((aside / "status.json").read_text())
    assert status["status"] == "failed"
    assert status["error"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in (aside / "traceback.txt").read_text()
    assert (aside / "half.txt").read_text() == "half"


def _fail_halfway(path):
    with RunDirectory(path, {}) as run:
        run.file("half.txt").write_text("half")
        1 / 0  # noqa: B018


def test_a_killed_run_leaves_nothing_under_its_name(tmp_path):
    path = tmp_path / "run"
    script = f"""
        import sys, time
        from pathlib import Path
        from experiments.framework.run_directory import RunDirectory
        with RunDirectory(Path({str(path)!r}), {{}}) as run:
            run.file("half.txt").write_text("half")
            print("ready", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not path.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.")
    assert not is_complete(left)
    with RunDirectory(path, {}):
        pass
    assert is_complete(path)


def test_a_completed_run_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "run"
    with RunDirectory(path, {}) as run:
        run.file("first").touch()
    with pytest.raises(FileExistsError, match="--overwrite"):
        RunDirectory(path, {}).create()
    with RunDirectory(path, {}, overwrite=True) as run:
        run.file("second").touch()
        assert (path / "first").exists()
    assert not (path / "first").exists()
    assert (path / "second").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("make", ["file", "directory"])
def test_what_is_not_a_run_is_never_replaced(tmp_path, make):
    path = tmp_path / "precious"
    if make == "file":
        path.write_text("thesis")
    else:
        path.mkdir()
        (path / "thesis").write_text("thesis")
    with pytest.raises(FileExistsError, match="not a run directory"):
        RunDirectory(path, {}, overwrite=True).create()
    assert (path if make == "file" else path / "thesis").read_text() == "thesis"


def test_json_has_arrays_and_no_nan(tmp_path):
    with RunDirectory(tmp_path / "run", {}) as run:
        run.write_json("a.json", {"x": np.float32(1.5), "y": np.array([1.0, np.nan]), 3: (True,)})
    content = json.loads((tmp_path / "run" / "a.json").read_text())
    assert content == {"x": 1.5, "y": [1.0, None], "3": [True]}


def test_checkpoints_outlive_interruptions_and_go_when_the_run_completes(tmp_path):
    config = {"job": "audit", "x": (1, 2), "out": tmp_path, "overwrite": False}
    path = tmp_path / "run"
    run = RunDirectory(path, config)
    with pytest.raises(KeyboardInterrupt):
        _be_interrupted(run)
    again = RunDirectory(path, {**config, "out": None, "overwrite": True})
    assert again.checkpoints == run.checkpoints
    assert again.checkpoints.exists()
    assert RunDirectory(path, {**config, "x": (1, 3)}).checkpoints != again.checkpoints
    with again:
        pass
    assert not again.checkpoints.exists()


def _be_interrupted(run):
    with run:
        run.checkpoints.mkdir()
        raise KeyboardInterrupt


def test_equal_configurations_have_equal_names():
    name = config_hash({"a": 1.5, "b": ("x", None), "out": Path("here")})
    text = '{"a": 1.5, "b": ["x", null]}'
    assert name == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert name == config_hash({"b": ["x", None], "a": np.float64(1.5), "overwrite": True})
    assert name != config_hash({"a": 1.5, "b": ("x", "None")})
