import numpy as np
import pytest
from scipy.stats import norm

from gujax.attacks.membership import best_of_attacks, evaluate_attack


def equal_attacks(seed, *, num_attacks=4, num_seeds=2, shift=0.5, spread=0.0, num_examples=60):
    """Attacks of the same AUC with noise of their own; ``spread`` of the shift between seeds."""
    rng = np.random.default_rng(seed)
    members = rng.random((num_seeds, 2, num_examples)) < 0.5
    shifts = shift + spread * rng.normal(size=(num_seeds, 1, 1))
    return {
        str(a): shifts * members + rng.normal(size=members.shape) for a in range(num_attacks)
    }, members


def test_coverage_is_nominal_and_the_largest_value_is_too_large():
    truth = norm.cdf(0.5 / np.sqrt(2))
    found = [
        best_of_attacks(*equal_attacks(seed, num_seeds=1), num_resamples=50, seed=seed)["auc"]
        for seed in range(80)
    ]
    value, low, high = np.array([best.reached for best in found]).T
    largest = np.array([best.largest for best in found])
    # One AUC of 2 × 60 scores has a standard error of 0.05, the mean of 80 one of 0.003 to 0.006.
    assert abs(value.mean() - truth) < 0.015
    assert largest.mean() > truth + 0.035
    # Nominal 0.95; ties of all attacks are where the band is widest.
    assert ((low <= truth) & (truth <= high)).mean() >= 0.92


def test_intervals_know_that_seeds_differ():
    truth, covered = norm.cdf(0.5 / np.sqrt(2)), 0
    for seed in range(30):
        given = equal_attacks(seed, num_attacks=2, num_seeds=6, spread=0.4)
        reached = best_of_attacks(*given, num_resamples=40, seed=seed)["auc"].reached
        covered += reached.low <= truth <= reached.high
    # Without drawing seeds it is 0.7.
    assert covered / 30 >= 0.85


def test_a_clear_winner_is_measured_as_if_alone():
    scores, members = equal_attacks(0, num_seeds=1, num_examples=4000)
    scores["clear"] = 3.0 * members + scores["0"]
    found = best_of_attacks(scores, members, num_resamples=50)
    for measure in ("auc", "tpr_at_fpr_1pct", "balanced_accuracy"):
        best = found[measure]
        alone = getattr(evaluate_attack(scores["clear"][0], members[0]), measure)
        assert best.chosen == "clear"
        assert best.largest == best.each["clear"].mean == pytest.approx(alone.mean)
        assert best.reached.mean == pytest.approx(alone.mean, abs=0.06)
        assert best.reached.low <= alone.mean <= best.reached.high


def test_include_leaves_pairs_out():
    scores, members = equal_attacks(1)
    include = np.random.default_rng(0).random(members.shape) < 0.5
    hidden = {name: np.where(include, values, np.nan) for name, values in scores.items()}
    with pytest.raises(ValueError, match=r"scores\['0'\] has NaN"):
        best_of_attacks(hidden, members)
    found = best_of_attacks(hidden, members, include=include, num_resamples=20)["auc"]
    expected = [
        evaluate_attack(scores["2"][s], members[s], include=include[s], num_resamples=0).auc.mean
        for s in range(2)
    ]
    assert found.each["2"].mean == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {}}, "scores holds no attack"),
        ({"scores": {"a": np.zeros((2, 2))}}, r"scores\['a'\] has shape \(2, 2\)"),
        ({"members": np.eye(2, dtype=bool)}, r"members has shape \(2, 2\)"),
        ({"members": np.ones((1, 2, 2), bool)}, "without non-members"),
        ({"num_resamples": 0}, "num_resamples=0 must be 20 or more"),
        ({"confidence_level": 1.0}, "confidence_level=1.0 must lie between 0 and 1"),
    ],
)
def test_wrong_arguments(changes, message):
    given = {"scores": {"a": np.zeros((1, 2, 2))}, "members": np.eye(2, dtype=bool)[None]}
    with pytest.raises(ValueError, match=message):
        best_of_attacks(**{**given, **changes})
