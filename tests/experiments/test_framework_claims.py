import json

import numpy as np
import pytest
from scipy import stats

from experiments.framework.claims import above, below, from_json, verdict
from experiments.framework.claims import test as tested_claim
from experiments.framework.results import Measured, Results, entry, leaving_out
from experiments.framework.run_directory import to_json
from experiments.report.tables import claims_table
from gujax.statistics import Interval, mean_interval

ABOVE, ACROSS, BELOW = Interval(2.0, 1.0, 3.0), Interval(0.5, -1.0, 2.0), Interval(-2.0, -3.0, -1.0)
UNKNOWN = mean_interval(np.array([1.0]))


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([ABOVE, ABOVE], "reproduced"),
        ([ABOVE, ACROSS], "partly"),
        ([ABOVE, BELOW], "contradicted"),
        ([ACROSS], "not told apart"),
        ([ACROSS, BELOW], "contradicted"),
        ([ABOVE, UNKNOWN], "not tested at this scale"),
        ([], "not tested at this scale"),
    ],
)
def test_verdict(effects, expected):
    assert verdict(effects) == expected


def test_margins():
    assert above(ABOVE, 0.5) == Interval(1.5, 0.5, 2.5)
    assert below(ABOVE, 5.0) == Interval(3.0, 2.0, 4.0)
    measured = Measured(np.array([0.01, 0.02, 0.03]))
    assert verdict([below(measured, 0.05)]) == "reproduced"
    assert verdict([below(measured, 0.02)]) == "not told apart"


def test_a_seed_without_a_value_leaves_a_claim_untested():
    known, partly = Measured(np.array([1.0, 1.1, 1.2])), Measured(np.array([1.0, 1.1, np.nan]))
    assert verdict([known.of_every_seed]) == "reproduced"
    assert verdict([partly.of_every_seed]) == "not tested at this scale"


def test_seeds_alone_do_not_see_what_the_same_examples_do_to_all():
    """Means over 3 seeds of 200 examples, each with an own value that all seeds share."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(500):
        values = rng.normal(size=200) + 0.3 * rng.normal(size=(3, 200))
        parts = values.mean(axis=0).reshape(20, 10).mean(axis=1)
        without = (parts.sum() - parts) / 19
        alone = Measured(values.mean(axis=1))
        both = Measured(alone.values, without=without)
        covered.append([m.interval.low < 0 < m.interval.high for m in (alone, both)])
    alone, both = np.mean(covered, axis=0)
    assert alone < 0.8
    assert both > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 500)


def test_what_is_paired_by_examples_stays_so(tmp_path):
    rng = np.random.default_rng(0)
    values, without = rng.normal(size=(2, 3)), rng.normal(size=(2, 20))
    first, second = (
        list(
            leaving_out(
                [entry("found", of, "u", setting=name)],
                [[entry("found", mean, "u", setting=name)] for mean in parts],
            )
        )
        for name, of, parts in zip("ab", values, without)
    )
    results = Results([*first, *second])
    results.frame().write_parquet(tmp_path / "results.parquet")
    a, b = (Results.read(tmp_path / "results.parquet").get("found", setting=n) for n in "ab")
    np.testing.assert_allclose((a - b).without, without[0] - without[1])
    np.testing.assert_allclose((a - 1.0).without, without[0] - 1)
    np.testing.assert_allclose((-a).without, -without[0])
    np.testing.assert_allclose((a * 0.6).without, 0.6 * without[0])
    np.testing.assert_allclose((a / b).without, without[0] / without[1])
    halves = [(m.high - m.low) / 2 for m in (mean_interval(values[0]), a.interval)]
    jackknife = stats.t.ppf(0.975, 19) * np.sqrt(19 * np.var(without[0]))
    assert halves[1] == pytest.approx(np.hypot(halves[0], jackknife))
    # What has the same examples left out in both of its parts is certain, whatever they are.
    assert (a - a).interval == (0, 0, 0)
    plain = Measured(values[1])
    np.testing.assert_allclose((a - plain).without, without[0] - plain.mean)
    assert a.unit == "u"
    assert results.summary()["a"]["found"]["high"] == a.interval.high


def test_a_claim_survives_json():
    claim = tested_claim("key", "it is so", "paper", "1.0 ± 0.1", [ABOVE, UNKNOWN])
    (read,) = from_json(json.loads(to_json([vars(claim)])))
    assert read.effects[0] == ABOVE
    assert np.isnan(read.effects[1].low)
    assert (read.key, read.verdict) == ("key", "not tested at this scale")
    shown = ["it is so", "paper", "1.0 ± 0.1", "not tested at this scale"]
    assert claims_table([claim]).rows == [shown]


def test_verdicts_of_earlier_versions_are_refused():
    old = {
        "key": "k",
        "statement": "s",
        "source": "p",
        "measured": "m",
        "verdict": "not reproduced",
    }
    with pytest.raises(ValueError, match="run the job again"):
        from_json([old])
