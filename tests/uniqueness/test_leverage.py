from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gujax.gradients import gram, per_example_grads
from gujax.uniqueness import leverage, relative_ridge, uniqueness
from tests.uniqueness.truth import gnq_by_definition, gnq_in_many_digits

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "mlp_100_40_10.npz")


def golden_gram(dtype, method):
    def loss(params, example):
        x, y = example
        hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
        return -jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])[y]

    params = {name: jnp.asarray(GOLDEN[name], dtype) for name in ("w1", "b1", "w2", "b2")}
    batch = (jnp.asarray(GOLDEN["x"], dtype), jnp.asarray(GOLDEN["y"]))
    return gram(per_example_grads(loss, method=method)(params, batch))


@pytest.mark.parametrize("method", ["dense", "factored"])
class TestGolden:
    def test_float64(self, method):
        with jax.enable_x64(True):
            gnq = uniqueness(golden_gram(jnp.float64, method), ridge=float(GOLDEN["ridge"]))
        assert gnq.dtype == np.float64
        np.testing.assert_allclose(gnq, GOLDEN["gnq_naive"], rtol=1e-6)

    def test_float32(self, method):
        gnq = uniqueness(golden_gram(jnp.float32, method), ridge=float(GOLDEN["ridge"]))
        np.testing.assert_allclose(gnq, GOLDEN["gnq_naive"], rtol=1e-2)
        assert scipy.stats.spearmanr(gnq, GOLDEN["gnq_naive"])[0] >= 0.999


def random_gradients(batch, parameters, rank, spread, seed):
    """Of a given rank, with norms spread over 10^-spread ... 10^spread."""
    rng = np.random.default_rng(seed)
    rank = min(rank, batch, parameters)
    gradients = rng.normal(size=(batch, rank)) @ rng.normal(size=(rank, parameters))
    return gradients * 10 ** rng.uniform(-spread, spread, size=(batch, 1))


class TestDefinition:
    @settings(max_examples=30, deadline=None)
    @given(
        batch=st.sampled_from([1, 2, 5, 12]),  # few, because each is compiled anew
        parameters=st.integers(1, 16),
        rank=st.integers(1, 12),
        log_ridge=st.floats(-3, 3),
        seed=st.integers(0, 2**20),
    )
    def test_ridge(self, batch, parameters, rank, log_ridge, seed):
        gradients = random_gradients(batch, parameters, rank, 1, seed)
        ridge = 10**log_ridge
        with jax.enable_x64(True):
            K = jnp.asarray(gradients @ gradients.T)
            gnq, h = np.asarray(uniqueness(K, ridge)), np.asarray(leverage(K, ridge))
        # 1e-6: the reference solves P x P systems of condition up to 1e8.
        np.testing.assert_allclose(gnq, gnq_by_definition(gradients, ridge), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(h, gnq / (1 + gnq), rtol=1e-6)

    @settings(max_examples=30, deadline=None)
    @given(
        batch=st.sampled_from([1, 2, 5, 12]),  # few, because each is compiled anew
        parameters=st.integers(1, 16),
        rank=st.integers(1, 12),
        seed=st.integers(0, 2**20),
    )
    def test_pseudo_inverse(self, batch, parameters, rank, seed):
        gradients = random_gradients(batch, parameters, rank, 1, seed)
        with jax.enable_x64(True):
            K = jnp.asarray(gradients @ gradients.T)
            gnq, h = np.asarray(uniqueness(K)), np.asarray(leverage(K))
        # 1e-4: the reference's pseudo-inverse squares the condition number of the gradients.
        np.testing.assert_allclose(gnq, gnq_by_definition(gradients, 0), rtol=1e-4)
        # h by its own definition, the projection onto the range of K.
        projection = np.diag(gradients @ np.linalg.pinv(gradients, rcond=1e-10))
        np.testing.assert_allclose(h, projection, atol=1e-6)

    @pytest.mark.parametrize("batch", [32, 33, 100])
    def test_sizes_around_the_blocks(self, batch):
        gradients = random_gradients(batch, 40, 40, 0, 0)
        with jax.enable_x64(True):
            gnq = uniqueness(jnp.asarray(gradients @ gradients.T), 0.5)
        np.testing.assert_allclose(gnq, gnq_by_definition(gradients, 0.5), rtol=1e-9)


class TestWideNorms:
    """Norms from 1e-6 to 1e6 in one batch, in directions that do not depend on each other."""

    @pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0, 1e4])
    def test_float32(self, ridge):
        rng = np.random.default_rng(1)
        gradients = random_gradients(16, 100, 16, 0, 2)
        gradients *= 10 ** rng.permutation(np.linspace(-7, 5, 16))[:, None]
        K = gradients @ gradients.T
        truth = gnq_in_many_digits(gradients, ridge)
        assert truth.max() / truth.min() > 1e6
        # K itself is rounded to 6e-8; the directions' condition number (squared) is below 50.
        np.testing.assert_allclose(uniqueness(jnp.asarray(K, jnp.float32), ridge), truth, rtol=2e-5)
        with jax.enable_x64(True):
            np.testing.assert_allclose(uniqueness(jnp.asarray(K), ridge), truth, rtol=1e-12)

    def test_pseudo_inverse_of_independent_directions(self):
        gradients = random_gradients(8, 50, 8, 0, 3) * 10.0 ** np.linspace(-6, 6, 8)[:, None]
        K = jnp.asarray(gradients @ gradients.T, jnp.float32)
        assert np.isinf(uniqueness(K)).all()
        np.testing.assert_array_equal(leverage(K), 1)

    def test_pseudo_inverse_of_parallel_gradients(self):
        # g and c g: GNQ is c^2 for the one and c^-2 for the other; the third is in nobody's span.
        for scale in (1e-6, 1e-3, 1.0, 1e6):
            gradients = np.array([[1.0, 0], [scale, 0], [0, 1e6]], np.float32)
            gnq = uniqueness(jnp.asarray(gradients @ gradients.T))
            np.testing.assert_allclose(gnq, [scale**-2.0, scale**2.0, np.inf], rtol=1e-5)

    def test_pseudo_inverse_of_dependent_gradients(self):
        with jax.enable_x64(True):
            for seed in range(5):
                gradients = random_gradients(9, 4, 4, 3, seed)
                gnq = uniqueness(jnp.asarray(gradients @ gradients.T))
                # The limit of a ridge that vanishes beside every eigenvalue of every S_j.
                np.testing.assert_allclose(gnq, gnq_in_many_digits(gradients, 1e-40), rtol=1e-5)


class TestWellDefined:
    def test_duplicates(self):
        gradients = np.array([[1.0, 2, 0], [1, 2, 0], [0, 0, 3]], np.float32)
        K = jnp.asarray(gradients @ gradients.T)
        np.testing.assert_allclose(uniqueness(K), [1, 1, np.inf], rtol=1e-6)
        np.testing.assert_allclose(leverage(K), [0.5, 0.5, 1], rtol=1e-6)
        # With a ridge: g^T (g g^T + ridge)^-1 g = |g|^2 / (|g|^2 + ridge).
        np.testing.assert_allclose(uniqueness(K, 0.1), [5 / 5.1, 5 / 5.1, 90], rtol=1e-5)

    def test_many_duplicates_have_small_leverage(self):
        # h = 1 / 100 exactly: as a sum of products it would cancel.
        K = jnp.full((100, 100), 1e4, jnp.float32)
        np.testing.assert_allclose(leverage(K), 0.01, rtol=1e-4)
        np.testing.assert_allclose(uniqueness(K), 1 / 99, rtol=1e-4)
        np.testing.assert_allclose(uniqueness(K, 100.0), 1e4 / (99e4 + 100), rtol=3e-3)

    def test_zero_gradient(self):
        K = jnp.diag(jnp.array([0.0, 4.0]))
        np.testing.assert_array_equal(uniqueness(K), [0, np.inf])
        np.testing.assert_allclose(uniqueness(K, 2.0), [0, 2], rtol=1e-6)
        np.testing.assert_array_equal(uniqueness(jnp.zeros((3, 3)), relative_ridge=0.1), 0)

    def test_one_example(self):
        K = jnp.array([[3.0]])
        np.testing.assert_array_equal(uniqueness(K), [np.inf])
        np.testing.assert_allclose(uniqueness(K, 0.5), [6], rtol=1e-6)
        np.testing.assert_array_equal(uniqueness(jnp.zeros((1, 1))), [0])

    @pytest.mark.parametrize("ridge", [0.0, 0.3])
    def test_padding(self, ridge):
        gradients = random_gradients(9, 4, 4, 0, 0).astype(np.float32)
        mask = np.arange(9) % 3 != 0
        K = np.array(gradients @ gradients.T)
        K[~mask] = K[:, ~mask] = np.nan  # what padding holds must not matter
        gnq = uniqueness(jnp.asarray(K), ridge, mask=jnp.asarray(mask))
        alone = uniqueness(jnp.asarray(K[np.ix_(mask, mask)]), ridge)
        np.testing.assert_allclose(gnq[mask], alone, rtol=1e-4)
        np.testing.assert_array_equal(gnq[~mask], 0)
        h = leverage(jnp.asarray(K), ridge, mask=jnp.asarray(mask, jnp.float32))
        np.testing.assert_allclose(h[mask], alone / (1 + alone), rtol=1e-4)
        np.testing.assert_array_equal(h[~mask], 0)

    def test_ridge_finer_than_float32_errs_within_the_stated_bound(self):
        for seed in range(20):
            gradients = random_gradients(40, 10, 10, 3, seed)
            K = jnp.asarray(gradients @ gradients.T, jnp.float32)
            for ridge in (1e-6, 1e-10):
                gnq = np.asarray(uniqueness(K, ridge))
                assert np.isfinite(gnq).all()
                resolution = 40 * np.finfo(np.float32).eps * np.diag(K) / ridge
                with jax.enable_x64(True):
                    truth = np.asarray(uniqueness(jnp.asarray(gradients @ gradients.T), ridge))
                assert (np.abs(gnq - truth) <= 3 * resolution + 1e-3 * truth).all()

    def test_half_precision_is_computed_in_float32(self):
        gnq = uniqueness(jnp.eye(3, dtype=jnp.bfloat16), 0.5)
        assert gnq.dtype == jnp.float32
        np.testing.assert_allclose(gnq, 2, rtol=1e-6)


class TestTransformations:
    def test_traced_ridge_takes_the_right_branch(self):
        gradients = random_gradients(8, 4, 4, 0, 0).astype(np.float32)
        K = jnp.asarray(gradients @ gradients.T)
        ridges = jnp.array([0.0, 0.1, 10.0])
        each = jnp.stack([uniqueness(K, float(ridge)) for ridge in ridges])
        jitted = jax.jit(uniqueness)
        np.testing.assert_allclose([jitted(K, r) for r in ridges], each, rtol=1e-5)
        np.testing.assert_allclose(jax.vmap(uniqueness, (None, 0))(K, ridges), each, rtol=1e-5)

    def test_no_call_to_lapack(self):
        text = str(jax.make_jaxpr(uniqueness)(jnp.eye(64), 0.1))
        for primitive in ("eigh", "cholesky", "triangular_solve"):
            assert primitive not in text

    def test_batched_over_models(self):
        gradients = np.stack([random_gradients(40, 20, 20, 0, s) for s in range(3)])
        K = jnp.asarray(gradients @ gradients.transpose(0, 2, 1), jnp.float32)
        each = jnp.stack([uniqueness(k, 1.0) for k in K])
        together = jax.jit(jax.vmap(lambda k: uniqueness(k, 1.0)))(K)
        np.testing.assert_allclose(together, each, rtol=1e-4)

    def test_derivative(self):
        gradients = random_gradients(35, 20, 20, 0, 0)
        with jax.enable_x64(True):

            def total(gradients, ridge):
                return jnp.sum(jnp.log1p(uniqueness(gradients @ gradients.T, ridge)))

            jax.test_util.check_grads(
                lambda g: total(g, 0.5), (jnp.asarray(gradients),), order=1, rtol=1e-5
            )


class TestRidge:
    def test_relative_ridge(self):
        K = jnp.diag(jnp.array([1.0, 3.0, 100.0]))
        mask = jnp.array([True, True, False])
        assert relative_ridge(K, 0.1, mask=mask) == pytest.approx(0.2)
        expected = uniqueness(K, 0.2, mask=mask)
        np.testing.assert_allclose(
            uniqueness(K, relative_ridge=0.1, mask=mask), expected, rtol=1e-6
        )

    def test_relative_ridge_does_not_depend_on_the_scale_of_the_loss(self):
        gradients = random_gradients(10, 20, 20, 0, 0)
        K = jnp.asarray(gradients @ gradients.T, jnp.float32)
        expected = uniqueness(K, relative_ridge=0.1)
        np.testing.assert_allclose(uniqueness(1e6 * K, relative_ridge=0.1), expected, rtol=1e-5)

    def test_nothing_but_padding(self):
        assert relative_ridge(jnp.eye(2), 0.1, mask=jnp.zeros(2, bool)) == 0


class TestBadInput:
    def test_messages(self):
        K = jnp.eye(3)
        with pytest.raises(ValueError, match=r"K must be a square matrix.*\(3, 2\)"):
            uniqueness(K[:, :2])
        with pytest.raises(ValueError, match="ridge must be at least 0, got -1"):
            uniqueness(K, -1.0)
        with pytest.raises(ValueError, match="relative_ridge must be at least 0"):
            leverage(K, relative_ridge=-1.0)
        with pytest.raises(ValueError, match="K has 1 NaN entries"):
            uniqueness(K.at[1, 1].set(jnp.nan), 0.1)
        with pytest.raises(ValueError, match=r"mask must have shape \(3,\)"):
            uniqueness(K, mask=jnp.ones(2, bool))
        with pytest.raises(ValueError, match="ridge must be a scalar"):
            uniqueness(K, jnp.ones(3))

    @pytest.mark.parametrize("ridge", [0.0, 0.1])
    def test_nan_is_not_turned_into_a_number(self, ridge):
        K = jnp.eye(40).at[2, 2].set(jnp.nan)
        assert np.isnan(jax.jit(lambda K: uniqueness(K, ridge))(K)).all()
        assert np.isnan(jax.jit(leverage)(K, ridge)).all()

    def test_traced_ridge_that_is_none(self):
        for ridge in (-1.0, jnp.nan):
            assert np.isnan(jax.jit(uniqueness)(jnp.eye(3), ridge)).all()
