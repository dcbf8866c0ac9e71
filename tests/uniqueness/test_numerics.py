"""How accurate GNQ is in low precision, and when it only measures the ridge."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.uniqueness import ridge_dominance, uniqueness, uniqueness_error
from tests.uniqueness.truth import gnq_by_definition, gnq_in_many_digits

BATCH, PARAMETERS = 24, 60
RIDGE = 1.0
CONDITIONS = (1e0, 1e2, 1e4, 1e6, 1e8, 1e12)  # of K, over the ridge


def gradients_of_condition(condition, seed=0):
    """Gradients [BATCH, PARAMETERS] and a ridge of 1 with cond(K + ridge I) = 1 + condition."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(BATCH, BATCH)))
    right, _ = np.linalg.qr(rng.normal(size=(PARAMETERS, BATCH)))
    # Eigenvalues of K spread evenly over all orders of magnitude, below the ridge as well.
    eigenvalues = condition * np.logspace(0, -12, BATCH)
    return left * np.sqrt(eigenvalues) @ right.T


@functools.cache
def truth_at(condition):
    return gnq_in_many_digits(gradients_of_condition(condition), RIDGE)


def computed(condition, precision):
    """(true GNQ, computed GNQ, stated error, K_jj) of gradients that are given in `precision`."""
    G, truth = gradients_of_condition(condition), truth_at(condition)
    with jax.enable_x64(precision == "float64"):
        rounded = jnp.asarray(G, precision)
        accumulated = jnp.promote_types(rounded.dtype, jnp.float32)
        K = jnp.matmul(rounded, rounded.T, preferred_element_type=accumulated)
        gnq, error = uniqueness(K, RIDGE), uniqueness_error(K, RIDGE)
        return truth, np.asarray(gnq, np.float64), float(error), np.sum(G**2, axis=1)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_error_keeps_to_the_stated_bound(precision, condition):
    truth, gnq, bound, norms = computed(condition, precision)
    assert np.isfinite(gnq).all()
    assert (gnq >= 0).all()
    if bound < 1:
        assert np.max(np.abs(gnq - truth) / (1 + truth)) <= bound
    else:  # not resolved, and says so: no more than on its own is promised
        assert precision == "float32"
        assert condition >= 1e8
        assert (gnq <= (1 + 1e-3) * norms / RIDGE).all()


@pytest.mark.parametrize("condition", CONDITIONS[:4])
def test_bfloat16_gradients(condition):
    """Rounding a gradient by eps moves it by eps · √(K_jj / λ) in units of the noise."""
    truth, gnq, _, norms = computed(condition, "bfloat16")
    allowed = 2.0**-8 * np.sqrt(1 + norms.sum() / RIDGE)
    assert np.max(np.abs(gnq - truth) / (1 + truth)) <= allowed


class TestRidgeDominance:
    def dominance(self, G, ridge=RIDGE, **options):
        with jax.enable_x64(True):
            return np.asarray(ridge_dominance(jnp.asarray(G @ G.T), ridge, **options))

    def test_is_the_share_of_the_gradient_that_only_the_ridge_hides(self):
        """By definition: ⟨ridge / (eigenvalue + ridge)⟩ over the eigenvectors of S_j."""
        G = gradients_of_condition(1e2)
        expected = []
        for j, g in enumerate(G):
            others = np.delete(G, j, axis=0)
            eigenvalues, vectors = np.linalg.eigh(others.T @ others)
            shares = (vectors.T @ g) ** 2 / (g @ g)
            expected.append(shares @ (RIDGE / (eigenvalues + RIDGE)))
        np.testing.assert_allclose(self.dominance(G), expected, rtol=1e-9)

    def test_orthogonal_and_shared_gradients(self):
        np.testing.assert_allclose(self.dominance(np.diag([1.0, 7.0, 1e3])), 1, rtol=1e-12)
        same = self.dominance(np.ones((50, 3)))  # g^T (49 g g^T + 1)^-1 g / |g|^2
        np.testing.assert_allclose(same, 1 / (1 + 49 * 3), rtol=1e-12)

    def test_grows_with_the_parameters_and_falls_with_the_batch(self):
        rng = np.random.default_rng(0)
        means = [
            self.dominance(rng.normal(size=(batch, parameters))).mean()
            for batch, parameters in ((24, 10_000), (24, 500), (24, 50), (24, 5))
        ]
        assert means[0] > 0.99
        assert all(np.diff(means) < 0)
        assert means[-1] < 0.1

    def test_zero_gradients_padding_and_nan(self):
        G = gradients_of_condition(1e2)
        G[3] = 0
        mask = np.arange(BATCH) != 5
        found = self.dominance(G, relative_ridge=0.1, mask=jnp.asarray(mask))
        alone = self.dominance(G[mask], relative_ridge=0.1)
        np.testing.assert_allclose(found[mask], alone, rtol=1e-9)
        assert found[3] == found[5] == 0
        assert np.isnan(jax.jit(ridge_dominance)(jnp.eye(3).at[1, 1].set(jnp.nan), 1.0)).all()

    def test_under_jit_and_vmap(self):
        G = np.stack([gradients_of_condition(1e2, seed) for seed in range(2)])
        K = jnp.asarray(G @ G.transpose(0, 2, 1), jnp.float32)
        together = jax.jit(jax.vmap(ridge_dominance, (0, None)))(K, RIDGE)
        np.testing.assert_allclose(together, [self.dominance(g) for g in G], rtol=1e-3)

    @pytest.mark.parametrize("function", [ridge_dominance, uniqueness_error])
    def test_needs_a_ridge(self, function):
        with pytest.raises(ValueError, match="ridge must be greater than 0"):
            function(jnp.eye(3))
        with pytest.raises(ValueError, match="ridge must be at least 0"):
            function(jnp.eye(3), -1.0)


def test_the_reference_agrees_with_the_definition():
    G = gradients_of_condition(1e4)
    np.testing.assert_allclose(gnq_in_many_digits(G, RIDGE), gnq_by_definition(G, RIDGE), rtol=1e-9)


def table():
    """Largest (median) error of GNQ over 1 + GNQ, by condition and precision: for BUILD_NOTES."""
    lines = [
        "| λ_max(K) / λ | float64 | float32 | bfloat16 gradients |",
        "| --- | --- | --- | --- |",
    ]
    for condition in CONDITIONS:
        cells = []
        for precision in ("float64", "float32", "bfloat16"):
            truth, gnq, *_ = computed(condition, precision)
            error = np.abs(gnq - truth) / (1 + truth)
            cells.append(f"{error.max():.0e} ({np.median(error):.0e})")
        lines.append(f"| {condition:.0e} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
