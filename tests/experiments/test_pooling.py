"""Claims over the settings of a sweep: made-up runs whose effects are known in closed form."""

import json

import polars as pl
import pytest
from scipy import stats

from experiments.framework.claims import CLAIMS_FILE, from_json, write_claims
from experiments.framework.claims import test as tested_claim
from experiments.framework.command_line import main
from experiments.framework.run_directory import RunDirectory
from experiments.framework.schema import Schema
from experiments.jobs.sweep import space
from experiments.jobs.sweep.directory import SweepDirectory, config
from experiments.jobs.sweep.pooling import Contrast, claims_over, contrasts
from experiments.jobs.sweep.report import readable, telling
from gujax.statistics import Interval

STUB = "tests.experiments.stub_job"
ABOVE, ACROSS, BELOW = Interval(2.0, 1.0, 3.0), Interval(0.5, -1.0, 2.0), Interval(-2.0, -3.0, -1.0)
UNKNOWN = Interval(1.0, float("nan"), float("nan"))


def claim(*effects, key="falls", named=True):
    given = {f"effect {name}": e for name, e in zip("ab", effects)} if named else effects
    return tested_claim(key, f"it {key}", "paper", "", given)


def contrast(settings):
    return Contrast(claim(ABOVE), "effect a", settings)


def around(mean, half=0.1):
    return Interval(mean, mean - half, mean + half)


class TestContrast:
    def test_the_mean_over_settings_has_students_interval_whatever_their_own(self):
        found = contrast({("a",): around(1.0), ("b",): around(2.0, 50), ("c",): around(3.0)})
        half = stats.t.ppf(0.975, 2) / 3**0.5  # a standard deviation of 1, three settings
        assert found.pooled() == pytest.approx((2, 2 - half, 2 + half))

    def test_settings_that_share_a_data_set_are_no_independent_draws(self):
        """Six settings whose means are those of three data sets: three draws."""
        of_dataset = {"a": 1.0, "b": 2.0, "c": 3.0}
        settings = {(d, m): around(of_dataset[d]) for d in of_dataset for m in ("mlp", "cnn")}
        half = stats.t.ppf(0.975, 2) / 3**0.5
        assert contrast(settings).pooled() == pytest.approx((2, 2 - half, 2 + half))

    def test_two_values_of_an_option_say_too_little_to_be_draws(self):
        settings = {(d, m): around(d == "a") for d in "ab" for m in ("mlp", "cnn")}
        half = stats.t.ppf(0.975, 3) * (1 / 3) ** 0.5 / 2
        assert contrast(settings).pooled() == pytest.approx((0.5, 0.5 - half, 0.5 + half))

    def test_signs(self):
        settings = {(i,): around(1.0, half) for i, half in enumerate((0.1, 0.1, 0.1, 0.1, 2))}
        found = contrast({**settings, ("zero",): around(0.0)})
        assert found.sign_test == pytest.approx(2 * 0.5**5)  # zero has no sign
        assert found.counts == (4, 2, 0)
        assert contrast({(0,): ABOVE, (1,): BELOW, (2,): UNKNOWN}).counts == (1, 0, 1)
        assert contrast({(0,): around(0.0), (1,): around(0.0)}).sign_test == 1


class TestContrasts:
    def test_seeds_of_a_setting_make_its_interval(self):
        trials = [(("x",), [claim(Interval(v, v, v))]) for v in (1.0, 2.0, 3.0)]
        (found,) = contrasts([*trials, (("y",), [claim(ABOVE)])])
        half = stats.t.ppf(0.975, 2) / 3**0.5
        assert found.settings["x",] == pytest.approx((2, 2 - half, 2 + half))
        assert found.settings["y",] == ABOVE

    def test_effects_are_matched_by_name_and_those_of_one_setting_left_out(self):
        nothing = Interval(*3 * (float("nan"),))
        trials = [
            (("x",), [claim(ABOVE, BELOW), claim(ABOVE, key="once")]),
            (("y",), [claim(nothing, ACROSS)]),
            (("z",), [claim(BELOW)]),
        ]
        first, second = contrasts(trials)
        assert (first.name, first.settings) == ("effect a", {("x",): ABOVE, ("z",): BELOW})
        assert (second.name, second.settings) == ("effect b", {("x",): BELOW, ("y",): ACROSS})

    def test_effects_without_names_are_told_apart_by_their_place(self):
        trials = [((s,), [claim(ABOVE, BELOW, named=False)]) for s in "xy"]
        assert [found.name for found in contrasts(trials)] == ["effect 1", "effect 2"]

    def test_verdicts_follow_from_the_intervals_over_settings(self):
        trials = [
            ((i,), [claim(around(1 + i / 10)), claim(around((-1) ** i), key="waves")])
            for i in range(4)
        ]
        falls, waves = claims_over(contrasts(trials))
        assert (falls.key, falls.verdict, falls.contrasts) == ("falls", "reproduced", ("effect a",))
        assert "over 4 settings, of which 4 positive (4 clear of zero, 0 clear below" in (
            falls.measured
        )
        assert waves.verdict == "not told apart"
        (below,) = claims_over(contrasts([((i,), [claim(around(-1 - i / 10))]) for i in range(4)]))
        assert below.verdict == "contradicted"


def trials_of(grid, configs=({},)):
    schema = Schema(STUB)
    return space.all_trials(schema, list(configs), space.read_grid(schema, grid))


def test_options_that_follow_from_others_do_not_tell_settings_apart():
    """As the attribute follows from the data set; the seed never tells."""
    configs = [{"x": 1.0, "shape": (1,)}, {"x": 2.0, "shape": (2,)}]
    trials = trials_of(["mode=plain,fancy", "seed=0,1"], configs)
    assert telling(trials) == ("x", "mode")
    assert telling(trials, ["shape"]) == ("x", "shape", "mode")
    assert telling(trials_of([], configs)) == ("x", "shape")  # two draws: neither is shared


def test_numbers_are_named_as_the_jobs_report_names_them():
    called = {"auc": "AUC, attribute inference"}
    assert readable("attribute.0.auc", called) == "attribute, 0: AUC, attribute inference"
    assert readable("summary.test_accuracy", called) == "test accuracy"
    assert readable("headline.LiRA TPR at 1 % FPR", called) == "LiRA TPR at 1 % FPR"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep over made-up runs: the effect is x of every setting, for two seeds that differ."""
    out = tmp_path_factory.mktemp("runs") / "sweep"
    grid = ["x=1,2,4", "mode=plain,fancy", "seed=0,1"]
    for trial in trials_of(grid):
        path = SweepDirectory(out).run(trial)
        with RunDirectory(path, {"job": STUB, **config(trial)}) as run:
            x, seed = trial.options.x, trial.options.seed
            write_claims(run, [claim(Interval(x + seed, *2 * (float("nan"),)))])
            run.write_json("summary.json", {"score": x, "list": [1]})
            run.write_json("names.json", {"score": "score (points)"})
    recorded = SweepDirectory(out)
    with recorded.opened():
        recorded.record(
            trials_of(grid), ["python", "-m", "experiments", "sweep", STUB, "--made-up"]
        )
    command = ["sweep", "--resume", "--out", str(out)]
    assert main(command) == 0
    return out, command


def test_a_sweep_judges_its_runs_claims_over_all_settings(swept):
    out, _ = swept
    (judged,) = from_json(json.loads((out / CLAIMS_FILE).read_text()))
    # Six settings are three draws of x: means 1.5, 2.5 and 4.5, of variance 7/3.
    half = stats.t.ppf(0.975, 2) * 7**0.5 / 3
    assert judged.effects == (pytest.approx((17 / 6, 17 / 6 - half, 17 / 6 + half)),)
    assert judged.verdict == "not told apart"  # six independent settings would have said otherwise
    assert stats.ttest_1samp([1.5, 1.5, 2.5, 2.5, 4.5, 4.5], 0).pvalue < 0.05
    page = (out / "report.html").read_text()
    assert "Over all settings: <b>not told apart</b>" in page
    assert (out / "figures" / "claim-falls.png").exists()
    (row,) = [
        line for line in (out / "tables.md").read_text().splitlines() if "| 4 | plain |" in line
    ]
    seeds = stats.t.ppf(0.975, 1) / 2  # of two seeds, one apart: a deviation of 1/√2 over √2
    assert f"{4.5 - seeds:+.3f}, {4.5 + seeds:+.3f}" in row


def test_measures_are_shown_by_their_names_in_the_jobs_report(swept):
    out, command = swept
    assert main([*command, "--measure", "*.score"]) == 0
    tables = (out / "tables.md").read_text()
    assert "| x | mode | trials | score (points) |" in tables
    assert "| 2 | fancy | 2 | 2 ± 0 |" in tables


def test_the_job_claims_finds_a_sweeps_claims_beside_its_runs(swept, tmp_path):
    out, _ = swept
    docs = tmp_path / "docs"
    command = ["claims", "--runs", str(out.parent), "--docs", str(docs)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    shown = pl.read_parquet(tmp_path / "out" / "claims.parquet")
    of_sweep = shown.filter(pl.col("setting") == f"sweep of {STUB}; 12 runs")
    assert of_sweep["measured"].str.contains("over 6 settings").to_list() == [True]
    assert not shown["setting"].str.starts_with(f"{STUB}").any()  # they count once, over all
    page = next(docs.glob("sweep-of-*.md")).read_text()
    assert f"`python -m experiments sweep {STUB} --made-up`" in page
