import numpy as np
import pytest
from scipy.stats import norm

from gujax.attacks.membership import evaluate_attack, lira, scaled_confidence, vector_lira
from tests.attacks.test_lira import halves


def logits_world(num_models, num_examples, shift, seed=0, num_classes=5):
    """Gaussian logits; members' logits of two wrong classes move apart, of any example."""
    rng = np.random.default_rng(seed)
    members = halves(rng, num_models, num_examples)
    scale = np.exp(rng.normal(0, 0.5, num_examples))
    center = 2 * rng.normal(size=(num_examples, num_classes))
    noise = scale[:, None] * rng.normal(size=(num_models, num_examples, num_classes))
    moved = shift * scale[:, None] * np.array([0, 0, 0, 1, -1]) / np.sqrt(2)
    y = rng.integers(0, 3, num_examples)
    return center + noise + members[..., None] * moved, y, members


def result(scores, members):
    return evaluate_attack(scores, members, num_resamples=0)


def test_reaches_the_optimal_attack_where_the_margin_says_little():
    logits, y, members = logits_world(64, 500, shift=1.5)
    found = result(vector_lira(logits, y, members), members)
    # Logits less their mean keep the whole shift of 1.5 deviations. Five means per side, of 32
    # models each, cost some of it, and more where thresholds are extreme.
    assert norm.cdf(1.5 / np.sqrt(2)) - 0.025 < found.auc.mean < norm.cdf(1.5 / np.sqrt(2)) + 0.01
    best = norm.cdf(norm.ppf(0.01) + 1.5)
    assert 0.7 * best < found.tpr_at_fpr_1pct.mean < best + 0.02
    margin = lira(scaled_confidence(logits, y), members, variance="shrunk", shared=True)
    assert result(margin, members).auc.mean < found.auc.mean - 0.1


@pytest.mark.parametrize("num_models", [6, 16])
def test_says_nothing_where_there_is_nothing_to_say(num_models):
    logits, y, members = logits_world(num_models, 3000, shift=0.0)
    # 18,000 scores or more, standard error 0.005.
    assert abs(result(vector_lira(logits, y, members), members).auc.mean - 0.5) < 0.015


def test_two_classes_are_the_attack_on_the_margin():
    rng = np.random.default_rng(0)
    members, y = halves(rng, 8, 50), rng.integers(0, 2, 50)
    logits = rng.normal(size=(8, 50, 2))
    phi = scaled_confidence(logits, y)
    expected = lira(phi, members, variance="shrunk", shared=True)
    np.testing.assert_allclose(vector_lira(logits, y, members), expected, rtol=1e-4, atol=1e-4)


def test_a_target_does_not_see_its_own_membership():
    logits, y, members = logits_world(8, 40, shift=1.0)
    scores = vector_lira(logits, y, members)
    flipped = members.copy()
    flipped[2] = ~flipped[2]
    np.testing.assert_allclose(vector_lira(logits, y, flipped)[2], scores[2], rtol=1e-6, atol=1e-8)


def test_examples_without_shadows_have_no_score():
    logits, y, members = logits_world(6, 3, shift=1.0)
    members[:, 0] = False
    found = vector_lira(logits, y, members)
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1:]).all()
    assert np.isfinite(vector_lira(np.ones_like(logits), y, members)[:, 1:]).all()
    with pytest.raises(ValueError, match="y has labels"):
        vector_lira(logits, y + 5, members)
