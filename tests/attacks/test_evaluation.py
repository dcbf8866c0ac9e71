import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics

from gujax.attacks.membership import evaluate_attack, true_positive_rates


def gaussian_scores(separation, num_models=20, num_examples=2000, seed=0):
    rng = np.random.default_rng(seed)
    members = rng.random((num_models, num_examples)) < 0.5
    return rng.normal(size=members.shape) + separation * members, members


@pytest.mark.parametrize("separation", [0.0, 0.5, 1.0, 3.0])
def test_gaussian_scores_of_known_separation(separation):
    scores, members = gaussian_scores(separation)
    result = evaluate_attack(scores, members)
    # 20,000 members and as many others: five standard errors of a share, or of a TPR whose
    # threshold is itself the 20th (200th) largest of the others' scores.
    assert result.auc.mean == pytest.approx(norm.cdf(separation / np.sqrt(2)), abs=0.015)
    assert result.balanced_accuracy.mean == pytest.approx(norm.cdf(separation / 2), abs=0.015)
    for fpr, estimate in ((0.01, result.tpr_at_fpr_1pct), (0.001, result.tpr_at_fpr_01pct)):
        mu = norm.ppf(fpr) + separation
        slope = norm.pdf(mu) / norm.pdf(norm.ppf(fpr))
        error = np.hypot(np.sqrt(fpr / 20_000) * slope, np.sqrt(norm.cdf(mu) / 20_000))
        assert abs(estimate.mean - norm.cdf(mu)) < 5 * error + 1e-4
    if separation:
        assert result.threshold == pytest.approx(separation / 2, abs=0.25)
    for estimate in result[:4]:
        assert estimate.low <= estimate.mean <= estimate.high


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_agrees_with_scikit_learn_with_and_without_ties(seed, ties):
    rng = np.random.default_rng(seed)
    members = rng.random((3, 20)) < 0.5
    members[0, :2] = True, False
    scores = rng.integers(0, 5, members.shape) if ties else rng.normal(size=members.shape)
    result = evaluate_attack(scores, members, num_resamples=0)
    truth, flat = members.ravel(), scores.ravel()
    fpr, tpr, _ = metrics.roc_curve(truth, flat, drop_intermediate=False)
    assert result.auc.mean == pytest.approx(metrics.roc_auc_score(truth, flat))
    assert result.tpr_at_fpr_1pct.mean == pytest.approx(tpr[fpr <= 0.01].max())
    assert result.balanced_accuracy.mean == pytest.approx(((1 + tpr - fpr) / 2).max())
    guess = scores >= result.threshold
    assert metrics.balanced_accuracy_score(truth, guess.ravel()) == pytest.approx(
        result.balanced_accuracy.mean
    )
    np.testing.assert_allclose(result.success, (guess == members).mean(axis=0))


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth = norm.cdf(1 / np.sqrt(2))
    covered = 0
    for seed in range(200):
        scores, members = gaussian_scores(1.0, num_models=4, num_examples=60, seed=seed)
        auc = evaluate_attack(scores, members, num_resamples=100, seed=seed).auc
        covered += auc.low <= truth <= auc.high
    # Nominal 0.95; a percentile interval from 60 examples is a little short.
    assert 0.87 < covered / 200 <= 0.995


def test_intervals_know_that_scores_of_an_example_belong_together():
    """Ten copies of the same target tell no more than one."""
    scores, members = gaussian_scores(1.0, num_models=1, num_examples=300)
    one = evaluate_attack(scores, members).auc
    ten = evaluate_attack(scores.repeat(10, 0), members.repeat(10, 0)).auc
    assert ten == pytest.approx(one)


def test_extremes():
    members = np.tile([True, False], (2, 50))
    perfect = evaluate_attack(members.astype(float), members, num_resamples=10)
    assert [e.mean for e in perfect[:4]] == [1, 1, 1, 1]
    assert (perfect.success == 1).all()
    constant = evaluate_attack(np.zeros(members.shape), members, num_resamples=10)
    assert [e.mean for e in constant[:4]] == [0.5, 0, 0, 0.5]


def test_include_leaves_examples_out():
    scores, members = gaussian_scores(1.0, num_models=3, num_examples=40)
    include = np.arange(40) % 4 > 0
    some = evaluate_attack(scores, members, include=include, num_resamples=0)
    alone = evaluate_attack(scores[:, include], members[:, include], num_resamples=0)
    assert some.auc.mean == alone.auc.mean
    assert some.threshold == alone.threshold
    np.testing.assert_array_equal(np.isnan(some.success), ~include)
    np.testing.assert_array_equal(some.success[include], alone.success)


def test_include_per_target_and_unscored_examples():
    scores, members = gaussian_scores(1.0, num_models=3, num_examples=40)
    include = np.random.default_rng(1).random(scores.shape) < 0.5
    expected = metrics.roc_auc_score(members[include], scores[include])
    scores = np.where(include, scores, np.nan)
    result = evaluate_attack(scores, members, include=include)
    assert result.auc.mean == pytest.approx(expected)
    assert np.isfinite(result.auc).all()


def test_the_curve_is_the_roc_curve():
    scores, members = gaussian_scores(1.0, num_models=2, num_examples=100)
    result = evaluate_attack(scores, members, num_resamples=0)
    assert np.trapezoid(result.tpr, result.fpr) == pytest.approx(result.auc.mean)
    assert np.isnan(result.auc.low)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros(4)}, r"scores has shape \(4,\) and members \(2, 2\)"),
        ({"scores": np.full((2, 2), np.nan)}, "scores has 4 NaN entries among the included"),
        ({"members": np.ones((2, 2), bool)}, "leave no non-members"),
        ({"include": np.array([False, False])}, "leave no members"),
        ({"confidence_level": 1.5}, "confidence_level=1.5 must lie between 0 and 1"),
        ({"num_resamples": -1}, "num_resamples=-1 must be 0 or more"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {"scores": np.zeros((2, 2)), "members": np.eye(2, dtype=bool), **changes}
    with pytest.raises(ValueError, match=message):
        evaluate_attack(**arguments)


@given(st.integers(1, 4), st.integers(2, 30), st.floats(0.005, 1), st.integers(0, 2**32 - 1))
def test_weights_are_numbers_of_copies(num_models, num_examples, at, seed):
    """Held against scikit-learn on data where examples are repeated or left out."""
    rng = np.random.default_rng(seed)
    members = rng.random((num_models, num_examples)) < 0.5
    members[0, :2] = True, False
    scores = rng.integers(0, 5, members.shape) + 2.0 * members  # with ties
    weights = rng.integers(0, 3, (3, num_examples))
    weights[:, :2] += 1
    found = true_positive_rates(scores, members, weights, false_positive_rate=at)
    for row, rate in zip(weights, found):
        copied = [np.repeat(array, row, axis=1).ravel() for array in (members, scores)]
        fpr, tpr, _ = metrics.roc_curve(*copied, drop_intermediate=False)
        assert rate == pytest.approx(tpr[fpr <= at].max())


def test_weights_of_other_examples_are_refused():
    scores, members = gaussian_scores(1.0, 4, 10)
    with pytest.raises(ValueError, match=r"weights \(2, 9\); they must be"):
        true_positive_rates(scores, members, np.ones((2, 9)))


def test_weights_that_leave_one_side_are_refused():
    scores, members = np.arange(4.0).reshape(2, 2), np.array([[True, False], [True, False]])
    for row, side in (([0, 1], "members"), ([1, 0], "non-members")):
        with pytest.raises(ValueError, match=f"row 1 of weights leaves no {side} to count"):
            true_positive_rates(scores, members, np.array([[1, 1], row]))


def test_who_calls_everybody_a_member_finds_all():
    scores, members = (
        np.array([[-np.inf, 1.0, 0.0, -np.inf]]),
        np.array([[True, True, False, False]]),
    )
    found = true_positive_rates(scores, members, np.ones((1, 4)), false_positive_rate=1)
    assert found == [1]
