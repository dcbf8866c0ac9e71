import jax
import numpy as np
import pytest
from scipy.stats import norm

from gujax.attacks.membership import evaluate_attack, quantile_regression


def world(shift, num_models=4, num_examples=600, seed=0):
    """φ of non-members is Gaussian, its mean and deviation functions of x and of the class."""
    rng = np.random.default_rng(seed)

    def examples(shift):
        x, y = rng.normal(size=(num_examples, 3)), rng.integers(0, 3, num_examples)
        members = rng.random((num_models, num_examples)) < 0.5
        mean, deviation = 3 * x[:, 0] + y, np.exp(0.7 * x[:, 1])
        phi = mean + deviation * (rng.normal(size=members.shape) + shift * members)
        return phi, x, y, members

    phi, x, y, members = examples(shift)
    return phi, x, y, *examples(0.0)[:3], members


def auc(scores, members):
    return evaluate_attack(scores, members, num_resamples=0).auc.mean


def test_comes_near_the_attack_that_knows_the_quantiles():
    *given, members = world(1.5)
    phi, x, y = given[:3]
    optimum = auc((phi - 3 * x[:, 0] - y) / np.exp(0.7 * x[:, 1]), members)
    assert optimum == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.03)
    found = auc(quantile_regression(*given, key=jax.random.key(0)), members)
    # 600 examples to learn from; one threshold for all finds 0.58.
    assert optimum - 0.05 < found < optimum + 0.01
    assert auc(phi, members) < 0.65


def test_says_nothing_where_there_is_nothing_to_say():
    *given, members = world(0.0)
    # 2,400 scores, standard error 0.012.
    assert abs(auc(quantile_regression(*given, key=jax.random.key(0)), members) - 0.5) < 0.05


def test_noise_is_not_learned():
    """Where x says nothing of φ, the best prediction is a constant: φ itself is the score."""
    rng = np.random.default_rng(0)
    phi, population = rng.normal(size=(2, 4, 600))
    x, population_x = rng.normal(size=(2, 600, 3))
    y = np.arange(600) % 3
    scores = quantile_regression(phi, x, y, population, population_x, y, key=jax.random.key(0))
    for of_model, signal in zip(scores, phi):
        assert np.corrcoef(of_model, signal)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phi": np.zeros((2, 3))}, r"phi has shape \(2, 3\), needed are .* \(2, 20\)"),
        ({"phi": np.full((2, 20), np.nan)}, "needed are finite numbers"),
        ({"population_phi": np.zeros((3, 20))}, r"population_phi has shape \(3, 20\)"),
        ({"population_phi": np.zeros((2, 5)), "population_x": np.zeros((5, 2))}, "has 5 examples"),
        ({"y": np.zeros(3)}, "y has shape"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {"phi": np.zeros((2, 20)), "x": np.zeros((20, 2)), "y": np.zeros(20)}
    arguments |= {f"population_{name}": value for name, value in arguments.items()} | changes
    with pytest.raises(ValueError, match=message):
        quantile_regression(**arguments, key=jax.random.key(0))
