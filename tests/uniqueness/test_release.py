"""Predictions against simulated releases: Poisson-sampled sums of fixed vectors, attacked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gujax.uniqueness import (
    batch_to_dataset_uniqueness,
    compose_mu,
    compose_nats,
    membership_mu,
    noise_ridge,
    predicted_auc,
    uniqueness,
)

DRAWS = 12_000  # of each class; the AUC then has a standard error of at most 0.0037


def heavy_tailed(num_examples, parameters, seed):
    rng = np.random.default_rng(seed)
    scales = rng.lognormal(0, 0.4, size=(num_examples, 1))
    mixing = rng.normal(size=(parameters, parameters))
    return scales * rng.normal(size=(num_examples, parameters)) @ mixing / np.sqrt(parameters)


def attack_auc(gradients, j, probability, noise_std, rng):
    """AUC of the likelihood-ratio test of the Gaussian approximation, w = Cov^+ g_j."""
    g, others = gradients[j], np.delete(gradients, j, axis=0)
    variance = probability * (1 - probability)
    covariance = variance * others.T @ others + noise_std**2 * np.eye(g.size)
    weights = np.linalg.pinv(covariance) @ g
    projected = others @ weights
    noise = noise_std * np.linalg.norm(weights)

    def scores(present):
        included = rng.random((DRAWS, len(others)), dtype=np.float32) < probability
        return included @ projected + present * (g @ weights) + noise * rng.normal(size=DRAWS)

    statistic = scipy.stats.mannwhitneyu(scores(1), scores(0)).statistic
    return statistic / DRAWS**2


def of_spread_uniqueness(gnq):
    """Examples of typical, high and highest uniqueness."""
    return np.argsort(gnq)[[len(gnq) // 2, -len(gnq) // 20, -1]]


@pytest.mark.parametrize(
    ("num_examples", "parameters", "probability", "noise_std"),
    [
        (100, 20, 0.5, 0.0),
        pytest.param(100, 300, 0.5, 2.0, marks=pytest.mark.long),
        pytest.param(300, 50, 0.2, 0.0, marks=pytest.mark.long),
        (300, 400, 0.1, 1.5),
        pytest.param(1000, 60, 0.05, 3.0, marks=pytest.mark.long),
    ],
)
def test_achieved_auc_is_the_predicted_one(num_examples, parameters, probability, noise_std):
    gradients = heavy_tailed(num_examples, parameters, seed=num_examples + parameters)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        ridge = noise_ridge(noise_std, probability)
        gnq = uniqueness(jnp.asarray(gradients @ gradients.T), ridge)
        predicted = np.asarray(predicted_auc(membership_mu(gnq, probability)))
    assert np.isfinite(gnq).all()
    for j in of_spread_uniqueness(np.asarray(gnq)):
        achieved = attack_auc(gradients, j, probability, noise_std, rng)
        assert achieved == pytest.approx(predicted[j], abs=0.02)


def test_composition_over_independent_steps():
    # The best attack on T independent releases adds the T log-likelihood ratios.
    rng = np.random.default_rng(1)
    mu = np.array([0.3, 0.8, 0.5])
    scores = rng.normal(size=(2, DRAWS, 3)) + np.arange(2)[:, None, None] * mu
    total = scores @ mu
    achieved = scipy.stats.mannwhitneyu(total[1], total[0]).statistic / DRAWS**2
    assert achieved == pytest.approx(float(predicted_auc(compose_mu(jnp.asarray(mu)))), abs=0.01)
    np.testing.assert_allclose(compose_mu(jnp.array([[3.0, 1.0], [4.0, 0.0]])), [5, 1], rtol=1e-6)
    np.testing.assert_allclose(
        compose_nats(jnp.array([[3.0, 1.0], [4.0, 0.5]]), axis=1), [4, 4.5], rtol=1e-6
    )


@pytest.mark.parametrize("noise_std", [pytest.param(1e-3, marks=pytest.mark.long), 6.0])
def test_from_a_batch_to_the_data_set(noise_std):
    # The batch is large beside the dimension: the rule neglects the sampling error of S_batch.
    num_examples, parameters, rate = 1500, 5, 0.2
    gradients = heavy_tailed(num_examples, parameters, seed=7)
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        exact = uniqueness(jnp.asarray(gradients @ gradients.T), noise_ridge(noise_std, rate))
        j = int(np.argsort(exact)[-20])
        batch_ridge = rate * float(noise_ridge(noise_std, rate))
        estimates = []
        for _ in range(20):
            others = np.flatnonzero(rng.random(num_examples) < rate)
            # Batches of one shape, so that there is one compilation: pad to 400.
            ids = np.concatenate([[j], others[others != j]])
            batch = np.zeros((400, parameters))
            batch[: len(ids)] = gradients[ids]
            mask = np.arange(400) < len(ids)
            gnq = uniqueness(jnp.asarray(batch @ batch.T), batch_ridge, mask=jnp.asarray(mask))
            estimates.append(float(batch_to_dataset_uniqueness(gnq[0], rate)))
        predicted = float(predicted_auc(membership_mu(np.mean(estimates), rate)))
    # Each estimate has a relative error of about sqrt(2 / 300), 8 %; the mean of 20, 2 %.
    assert np.mean(estimates) == pytest.approx(float(exact[j]), rel=0.05)
    assert attack_auc(gradients, j, rate, noise_std, rng) == pytest.approx(predicted, abs=0.02)


def test_noise_ridge():
    np.testing.assert_allclose(noise_ridge(3.0, 0.5), 36, rtol=1e-6)
    assert noise_ridge(0.0, 0.1) == 0
    with pytest.raises(ValueError, match="noise_std must be at least 0"):
        noise_ridge(-1.0, 0.5)
    for probability in (0.0, 1.0):
        with pytest.raises(ValueError, match="inclusion_probability must lie strictly"):
            noise_ridge(1.0, probability)
        with pytest.raises(ValueError, match="sampling_rate must lie strictly"):
            batch_to_dataset_uniqueness(1.0, probability)
