"""Sweeps of a job that takes milliseconds and whose results are known in closed form."""

import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest

from experiments.framework.command_line import main
from experiments.framework.errors import UserError
from experiments.framework.process import failure
from experiments.framework.run_directory import is_complete
from experiments.framework.schema import Schema, to_arguments
from experiments.framework.trial import Trial
from experiments.jobs.sweep import space
from experiments.jobs.sweep.cluster import unpack
from experiments.jobs.sweep.directory import SweepDirectory
from experiments.jobs.sweep.gather import measures, numbers, values_of
from experiments.jobs.sweep.node import TOKEN_FILE, run_trial

STUB = "tests.experiments.stub_job"
ROOT = Path(__file__).parents[2]
ENDS = [STUB, "--grid", "end=well,raise,kill,exit,policy", "--set", "loud=True"]
# Half of the 24 trials are enough for every change.
SIZES = [pytest.param(3, id="12 trials"), pytest.param(6, id="24 trials", marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def schema():
    return Schema(STUB)


def run(out, *arguments):
    return main(["sweep", *arguments, "--out", str(out)])


def fails(capsys, out, *arguments):
    """Runs a sweep that is refused; returns what it says, in one sentence."""
    assert run(out, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


def read(out):
    return pl.read_parquet(out / "trials.parquet")


def modified(out):
    """When each finished trial was written."""
    complete = (out / "trials").glob("[!.]*/summary.json")
    return {path: path.stat().st_mtime_ns for path in complete}


def grid(size):
    """A sweep of four times as many trials."""
    values = ",".join(map(str, range(1, size + 1)))
    return [STUB, "--grid", f"x={values}", "mode=plain,fancy", "--seeds", "2"]


def assert_is_the_whole_table(out, size):
    """What an uninterrupted sweep over `grid(size)` gives, from the stub's closed form."""
    table = read(out)
    values = range(1, size + 1)
    wanted = [(x, mode, seed) for x in values for mode in ("plain", "fancy") for seed in (0, 1)]
    assert list(table.select("x", "mode", "seed").iter_rows()) == wanted
    assert table["trial"].n_unique() == len(table)
    assert table["headline.square"].to_list() == [x**2 + seed for x, _, seed in wanted]
    assert (table["status"] == "done").all()
    assert {path.name for path in (out / "trials").iterdir()} == set(table["trial"])


class TestSpace:
    def test_values_are_separated_by_commas_and_elements_by_spaces(self, schema):
        values = space.read_grid(schema, ["shape=8,16 32,", "loud=True,False"])
        shapes = [(8,), (16, 32), ()]
        assert values == [{"shape": s, "loud": loud} for s in shapes for loud in (True, False)]
        assert space.read_fixed(schema, ["limit=None", "x=2"]) == [{"limit": None, "x": 2.0}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("y=1", "has no option 'y'; it has x, shape"),
            ("mod=plain", "did you mean mode"),
            ("x=fast", "'fast' is not a value of option x of job .* which takes float"),
            ("x=1,,2", "'' is not a value"),
            ("shape=1.5", "takes tuple.int"),
            ("mode=other", "Literal"),
            ("loud=perhaps", "takes bool"),
            ("limit=2.5", r"takes int \| None"),
            ("out=here", "set by the sweep"),
            ("x", "not of the form option=value"),
            ("mode='plain", "cannot read"),
        ],
    )
    def test_a_mistake_is_named(self, schema, text, message):
        with pytest.raises(UserError, match=message):
            space.read_grid(schema, [text])

    def test_samples_lie_in_their_range_and_repeat(self, schema):
        texts = ["x=log:1e-3:10", "limit=3:5", "mode=plain,fancy", "shape=2:64"]
        draws = space.read_samples(schema, texts, 40, seed=0)
        x = np.log10([draw["x"] for draw in draws])
        assert x.min() > -3
        assert x.max() < 1
        assert abs(x.mean() + 1) < 4 * 4 / np.sqrt(12 * 40)  # uniform: four standard errors
        assert {draw["limit"] for draw in draws} == {3, 4, 5}
        assert {draw["mode"] for draw in draws} == {"plain", "fancy"}
        assert all(2 <= width <= 64 for draw in draws for width in draw["shape"])
        assert space.read_samples(schema, texts, 5, seed=0) == draws[:5]
        assert space.read_samples(schema, texts, 5, seed=1) != draws[:5]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x=2:1", "lower end must come first"),
            ("x=log:0:1", "positive ends"),
            ("mode=1:2", "is not a value of option mode"),
        ],
    )
    def test_a_wrong_range_is_named(self, schema, text, message):
        with pytest.raises(UserError, match=message):
            space.read_samples(schema, [text], 3, seed=0)

    def test_lists_come_from_a_file(self, schema, tmp_path):
        path = tmp_path / "list.json"
        path.write_text('[{"x": 2, "shape": [1, 2]}, {"limit": null, "loud": true}]')
        assert space.read_configs(schema, path) == [
            {"x": 2.0, "shape": (1, 2)},
            {"limit": None, "loud": True},
        ]
        for content, message in (
            ("[]", "JSON list"),
            ("{", "cannot be read"),
            ('[{"y": 1}]', "'y'"),
        ):
            path.write_text(content)
            with pytest.raises(UserError, match=message):
                space.read_configs(schema, path)

    def test_seeds_of_a_job_that_repeats_within_a_run_are_passed_on(self, schema):
        assert space.read_seeds(schema, 3) == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
        assert space.read_seeds(Schema("compare"), 5) == [{"seeds": 5}]
        with pytest.raises(UserError, match="leave --seeds out"):
            space.read_seeds(Schema("benchmark"), 3)

    def test_a_combination_that_comes_twice_is_one_trial(self, schema):
        trials = space.all_trials(schema, [{"x": 1.0}, {}, {"x": 2.0}], [{"seed": 0}])
        assert [trial.options.x for trial in trials] == [1.0, 2.0]
        with pytest.raises(UserError, match="option x is given twice"):
            space.all_trials(schema, [{"x": 1.0}], [{"x": 2.0}])


class TestTrial:
    def test_its_name_is_a_hash_of_the_whole_configuration(self, schema):
        trial = Trial(STUB, schema.options({"x": 0.1, "shape": (8, 8)}))
        text = (
            '{"end": "well", "job": "tests.experiments.stub_job", "limit": null, "loud": false, '
            '"mode": "plain", "seconds": 0.0, "seed": 0, "shape": [8, 8], "x": 0.1}'
        )
        assert trial.id == hashlib.sha256(text.encode()).hexdigest()[:12]
        elsewhere = schema.options({"x": 0.1, "shape": (8, 8), "out": Path("a"), "overwrite": True})
        assert Trial(STUB, elsewhere).id == trial.id
        assert Trial(STUB, schema.options({"x": 0.1, "shape": (8, 9)})).id != trial.id
        assert Trial("other.job", trial.options).id != trial.id

    def test_its_arguments_give_its_options_back(self, schema):
        values = {"x": -1e-7, "shape": (), "mode": "fancy", "loud": True, "limit": 3}
        options = schema.options(values)
        arguments = to_arguments(options)
        assert "--loud" in arguments
        for name, value in values.items():
            words = arguments[arguments.index(f"--{name}") + 1 :]
            stop = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
            assert name == "loud" or schema.read(name, words[:stop]) == value

    @pytest.mark.parametrize(
        ("code", "log", "reason"),
        [
            (
                1,
                "a\nTraceback (most recent call last):\n  b\nValueError: c\n",
                "exit code 1: Value",
            ),
            (-9, "", "killed by SIGKILL; is there enough memory"),
            (-11, "Fatal Python error", "killed by SIGSEGV"),
            (7, "", "exit code 7: no output"),
            (0, "bye", "without a completed run directory: bye"),
        ],
    )
    def test_a_failure_is_explained(self, code, log, reason):
        told, details = failure(code, log)
        assert reason in told
        assert "\n".join(details.splitlines()) in log


class TestMeasures:
    TABLE = pl.DataFrame(
        {
            "trial": ["a", "b"],
            "x": [1.0, 2.0],
            "score.mean": [1.0, 3.0],
            "score.low": [0.0, 2.0],
            "score.high": [2.0, 4.0],
            "score.per_seed.0": [1.0, 3.0],
            "summary.count": [5.0, None],
            "summary.speed": [7.0, 8.0],
        }
    )

    def test_without_a_headline_they_are_the_single_numbers_that_differ(self):
        assert measures(self.TABLE, ()) == ["score", "summary.speed"]

    def test_a_headline_comes_before(self):
        assert measures(self.TABLE.with_columns(pl.lit(1.0).alias("headline.a")), ()) == [
            "headline.a"
        ]

    def test_patterns_choose(self):
        assert measures(self.TABLE, ["*.count", "score*"]) == [
            "score",
            "score.per_seed.0",
            "summary.count",
        ]

    def test_an_interval_belongs_to_its_mean(self):
        rows = list(values_of(self.TABLE, "score").iter_rows())
        assert rows == [(1.0, 0.0, 2.0), (3.0, 2.0, 4.0)]
        assert values_of(self.TABLE, "summary.speed").row(1) == (8.0, None, None)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["auditt"], "unknown job 'auditt'; choose one of"),
            (["tests.no_such_job"], "unknown job"),
            (["tests"], "unknown job 'tests'"),
            (["tests.prepared"], "unknown job"),
            ([STUB, "--grid", "epsilon=2"], "no option 'epsilon'"),
            ([STUB, "--grid", "x=a"], "'a' is not a value of option x"),
            ([STUB, "--set", "x=1", "--grid", "x=2,3"], "given twice"),
            ([STUB, "--seeds", "0"], "--seeds 0"),
            ([STUB, "--num-samples", "0"], "--num-samples 0"),
            ([STUB, "--workers", "0"], "--workers 0"),
            ([STUB, "--facet", "x"], "--facet x: the option is the same"),
            ([STUB, "--gpus-per-trial", "1"], "pass --ray"),
            ([STUB, "--workers", "2", "--ray", "local"], "--workers is for this machine"),
            ([STUB, "--configs", "no_such_file"], "no_such_file cannot be read"),
            ([STUB, "--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1 cannot be reached"),
            ([STUB, "--ray", "no.such.host.invalid:6379"], "cannot be reached"),
            ([], "name the job"),
            (["--resume"], "name the job to start one"),
            (["--resume", "--seeds", "2"], "--seeds needs the job"),
        ],
    )
    def test_before_the_first_trial(self, capsys, tmp_path, arguments, says):
        assert says in fails(capsys, tmp_path / "sweep", *arguments)
        assert not (tmp_path / "sweep").exists()

    def test_of_a_directory_with_something_else(self, capsys, tmp_path):
        (tmp_path / "thesis").touch()
        assert "no sweep" in fails(capsys, tmp_path, STUB)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis"]

    def test_of_an_unwritable_place(self, capsys, tmp_path):
        (tmp_path / "file").touch()
        assert "file" in fails(capsys, tmp_path / "file" / "sweep", STUB)

    def test_of_a_full_disk(self, capsys, tmp_path, monkeypatch):
        def full(descriptor):
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(os, "fsync", full)
        assert "No space left on device" in fails(capsys, tmp_path / "sweep", STUB)

    def test_of_a_second_sweep_at_the_same_time(self, capsys, tmp_path):
        with SweepDirectory(tmp_path / "sweep").opened():
            assert "is at work" in fails(capsys, tmp_path / "sweep", STUB)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Five trials: three end badly, one with an exit code of its own."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    return out, run(out, *ENDS, "--workers", "3")


class TestSweep:
    def test_failures_are_reported_and_the_others_stand(self, swept):
        out, code = swept
        assert code == 1
        table = read(out)
        by_end = {row["end"]: row for row in table.iter_rows(named=True)}
        assert {end: row["status"] for end, row in by_end.items()} == {
            "well": "done",
            "raise": "failed",
            "kill": "failed",
            "exit": "failed",
            "policy": "done",
        }
        assert by_end["raise"]["reason"] == "exit code 1: ArithmeticError: on purpose"
        assert by_end["kill"]["reason"].startswith("killed by SIGKILL")
        assert by_end["exit"]["reason"] == "exit code 7: working"
        assert by_end["well"]["headline.square"] == by_end["policy"]["headline.square"] == 1
        assert by_end["raise"]["headline.square"] is None
        failures = json.loads((out / "failures.json").read_text())
        assert len(failures) == 3
        assert "raise ArithmeticError" in failures[0]["traceback"]
        assert (out / failures[0]["log"]).read_text().startswith("working")
        page = (out / "report.html").read_text()
        assert "ArithmeticError: on purpose" in page
        assert "<script" not in page

    def test_finished_trials_are_skipped_and_the_others_tried_again(self, swept, capsys):
        out, _ = swept
        before = modified(out)
        assert len(before) == 2
        assert "pass --resume" in fails(capsys, out, *ENDS)
        assert "other configurations" in fails(capsys, out, STUB, "--resume")
        assert run(out, "--resume", "--workers", "3") == 1
        assert "2 are done already" in capsys.readouterr().out
        assert modified(out) == before
        # Of each trial, what its last attempt left.
        left = [path.name.lstrip(".").split(".")[0] for path in (out / "trials").iterdir()]
        assert sorted(left) == sorted(read(out)["trial"])

    def test_another_sweep_takes_over_what_both_have(self, swept, capsys):
        out, _ = swept
        before = modified(out)
        changed = [STUB, "--grid", "end=well,policy", "x=1,2", "--set", "loud=True", "--overwrite"]
        assert run(out, *changed, "--measure", "head*.square", "--facet", "x") == 0
        assert read(out)["headline.square"].to_list() == [1, 4, 1, 4]
        assert before.items() < modified(out).items()
        assert {path.stem for path in (out / "figures").iterdir()} == {"end_by_x"}


class TestKilled:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_sweep_killed_three_times_ends_as_an_uninterrupted_one(self, tmp_path, size):
        """SIGKILL to the whole process tree at random moments."""
        out = tmp_path / "sweep"
        command = [sys.executable, "-m", "experiments", "sweep", *grid(size)]
        command += ["--set", "seconds=0.1", "--workers", "2", "--out", str(out), "--resume"]
        rng = random.Random()
        for done in sorted(rng.sample(range(1, 4 * size - 3), 3)):
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            _wait_for(out, done)
            time.sleep(rng.uniform(0, 0.4))
            for member in (process, *psutil.Process(process.pid).children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):  # a trial that has just ended
                    member.kill()
            process.wait()
        assert not (out / "trials.parquet").exists()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert "are done already" in done.stdout
        assert_is_the_whole_table(out, size)

    @pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
    def test_a_trial_ends_with_the_process_that_started_it(self, tmp_path):
        script = f"""
            import time
            from pathlib import Path
            from experiments.framework.process import start
            out = Path({str(tmp_path)!r})
            print(start(["{STUB}", "--seconds", "60"], out / "run", out / "log").pid, flush=True)
            time.sleep(60)
        """
        parent = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        trial = psutil.Process(int(parent.stdout.readline()))
        _wait_until(lambda: list(tmp_path.glob(".run.*.partial")))
        parent.kill()
        parent.wait()
        _wait_until(lambda: not trial.is_running())


class TestRay:
    def test_a_node_that_does_not_see_the_directory_sends_the_run_back(self, tmp_path):
        out = tmp_path / "sweep" / "trials" / "run"
        out.parent.mkdir(parents=True)
        (tmp_path / "sweep" / TOKEN_FILE).write_text("of another sweep")
        command = [STUB, "--x", "3", "--loud", "--mode"]
        code, log, archive = run_trial([*command, "fancy"], out, "token", str(ROOT), {})
        assert (code, log) == (0, "working\n")
        assert list(out.parent.iterdir()) == []
        unpack(archive, out)
        assert is_complete(out)
        assert numbers(out)["headline.square"] == 9
        assert [path.name for path in out.parent.iterdir()] == ["run"]
        code, log, archive = run_trial([*command, "other"], out, "token", str(ROOT), {})
        assert (code, archive) == (2, None)
        assert "invalid choice 'other'" in log

    @pytest.mark.parametrize("size", SIZES)
    def test_a_sweep_completes_although_one_of_two_nodes_is_killed(self, tmp_path, size):
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        out = tmp_path / "sweep"
        cluster = cluster_utils.Cluster(True, head_node_args={"num_cpus": 1})
        node = cluster.add_node(num_cpus=1)

        def kill():
            _wait_for(out, size)
            cluster.remove_node(node, allow_graceful=False)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            code = run(out, *grid(size), "--set", "seconds=0.2", "--ray", cluster.address)
            killer.join()
        finally:
            cluster.shutdown()
        assert code == 0
        assert_is_the_whole_table(out, size)


def _wait_for(out, done):
    """Waits until so many trials of the sweep are done."""
    _wait_until(lambda: len(list(out.glob("trials/[!.]*"))) >= done)


def _wait_until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
