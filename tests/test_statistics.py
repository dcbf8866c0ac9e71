import numpy as np
import pytest

from experiments.framework.results import Measured
from experiments.report.formats import format_interval, share
from gujax.attacks.membership import Estimate
from gujax.statistics import (
    bootstrap,
    jackknife_half_width,
    mean_interval,
    percentile_interval,
    share_interval,
)


def test_interval_is_students_t():
    # t quantile 0.975 with 2 degrees of freedom: 4.302653 (any table).
    interval = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert interval.low == pytest.approx(2.0 - interval.half_width)


def test_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(size=3), 0.9) for _ in range(2000)]
    covered = np.mean([interval.low < 0 < interval.high for interval in intervals])
    assert covered == pytest.approx(0.9, abs=0.02)  # three standard errors


def test_one_value_has_no_interval_and_equal_values_have_a_point():
    single = mean_interval(np.array([0.5]))
    assert single.mean == 0.5
    assert np.isnan(single.low)
    assert np.isnan(single.half_width)
    same = mean_interval(np.array([0.5, 0.5]))
    assert (same.low, same.high) == (0.5, 0.5)
    assert np.isnan(mean_interval(np.array([np.nan])).mean)


def test_format():
    interval = mean_interval(np.array([0.94, 0.96]))
    assert format_interval(interval, percent=True) == "95.0 ± 12.7"
    assert format_interval(mean_interval(np.array([0.123])), digits=2) == "0.12"
    assert format_interval(mean_interval(np.array([]))) == "–"


def test_the_bootstrap_gives_statistics_of_the_examples_and_the_quantiles_of_resamples():
    values = np.random.default_rng(0).exponential(size=50)
    drawn = []

    def statistics(counts):
        assert counts.sum() == len(values)
        drawn.append(counts @ values / counts.sum())
        return drawn[-1], 0.5

    mean, constant = bootstrap(statistics, len(values), num_resamples=400, confidence=0.9, seed=1)
    assert mean.mean == pytest.approx(values.mean())
    assert (mean.low, mean.high) == pytest.approx(np.quantile(drawn[1:], [0.05, 0.95]))
    assert mean.half_width == pytest.approx(1.645 * values.std() / np.sqrt(50), rel=0.2)
    assert constant == (0.5, 0.5, 0.5)
    (single,) = bootstrap(lambda counts: [counts.mean()], 5, num_resamples=0)
    assert single.mean == 1
    assert np.isnan([single.low, single.high]).all()


def test_a_percentile_interval_holds_its_share_of_the_draws():
    assert percentile_interval(np.arange(101), 0.9) == pytest.approx((50, 5, 95))


def test_an_interval_answers_to_its_former_names():
    assert Estimate(1.0, 0.5, 1.5).value == mean_interval(np.array([1.0])).mean


def test_a_share_has_an_interval_where_something_holds_for_none_or_for_all():
    """Of 0 in n the exact upper end is 1 − (α/2)^(1/n)."""
    none, every = (share_interval(np.full(50, holds)) for holds in (False, True))
    assert none == pytest.approx((0, 0, 1 - 0.025 ** (1 / 50)))
    assert every == pytest.approx((1, 0.025 ** (1 / 50), 1))


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_the_interval_of_a_share_covers_it_at_least_as_often_as_it_says(share):
    rng = np.random.default_rng(0)
    found = [share_interval(rng.random(40) < share, 0.9) for _ in range(2000)]
    assert np.mean([low <= share <= high for _, low, high in found]) >= 0.9


def test_jackknife_of_a_mean_is_its_t_interval():
    """Without group g the mean of groups is (sum − x_g) / (G − 1)."""
    groups = np.random.default_rng(0).normal(size=20)
    without = (groups.sum() - groups) / 19
    assert jackknife_half_width(without) == pytest.approx(mean_interval(groups).half_width)
    assert np.isnan(jackknife_half_width(without[:1]))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0, 0.0, 0.0], "0 in every seed"),
        ([1.0, 1.0], "100 in every seed"),
        ([0.25], "25"),
        ([0.0, 0.1, 0.9], "33 (0 to 100)"),
        # t quantile 0.975 with 1 degree of freedom: 12.7062 (any table).
        ([0.5, 0.502], "50 (49 to 51)"),
        ([np.nan, np.nan], "–"),
        ([0.0, 0.0, np.nan], "0 in every seed"),
    ],
)
def test_a_share_stays_one_and_is_not_certain_where_seeds_agree(values, shown):
    assert share(0)(Measured(np.array(values))) == shown
