import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import integrate, stats

from gujax import defenses

MEANS, STDS = np.array([0.0, 1.5, -0.7, 2.0]), np.array([1.0, 0.3, 2.5, 1.0])
# Two-sided bounds that a correct sampler leaves once in a million runs.
BOUND = stats.norm.isf(5e-7)


def integrated_divergence(mean, std):
    def integrand(z):
        log_p, log_q = stats.norm.logpdf(z, mean, std), stats.norm.logpdf(z)
        return np.exp(log_p) * (log_p - log_q) / np.log(2)

    value, _ = integrate.quad(integrand, mean - 12 * std, mean + 12 * std, epsabs=1e-12)
    return value


class TestDivergence:
    def test_is_the_integral(self):
        expected = sum(integrated_divergence(m, s) for m, s in zip(MEANS, STDS))
        found = defenses.divergence_bits(jnp.asarray(MEANS), jnp.asarray(STDS))
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_of_the_prior_is_zero(self):
        assert defenses.divergence_bits(jnp.zeros((2, 3)), jnp.ones((2, 3))) == 0


class TestReparameterization:
    def samples(self, num=40_000):
        keys = jax.random.split(jax.random.key(0), num)
        mean, std = jnp.asarray(MEANS, jnp.float32), jnp.asarray(STDS, jnp.float32)
        return jax.vmap(lambda k: defenses.reparameterize(k, mean, std))(keys)

    def test_has_the_distribution_it_says(self):
        standardized = (np.asarray(self.samples(), np.float64) - MEANS) / STDS
        for column in standardized.T:
            assert stats.kstest(column, "norm").pvalue > 1e-6

    def test_entries_are_independent(self):
        correlation = np.corrcoef(np.asarray(self.samples(), np.float64).T)
        off_diagonal = correlation[~np.eye(len(MEANS), dtype=bool)]
        assert np.abs(off_diagonal).max() < stats.norm.isf(5e-7 / 6) / np.sqrt(40_000)

    def test_gradient_is_that_of_the_expectation(self):
        # E[z²] = mean² + std², so the derivatives are 2 mean and 2 std.
        def square(mean, std, key):
            return defenses.reparameterize(key, mean, std) ** 2

        keys = jax.random.split(jax.random.key(1), 40_000)
        gradients = jax.vmap(jax.grad(square, (0, 1)), (None, None, 0))(1.5, 0.3, keys)
        for found, expected in zip(gradients, (3.0, 0.6)):
            found = np.asarray(found, np.float64)
            error = found.std() / np.sqrt(len(found))
            assert abs(found.mean() - expected) < BOUND * error


class TestModule:
    def test_linear_is_the_textbook_function(self):
        module = defenses.linear(3)((5,), nnx.Rngs(0))
        x = np.random.default_rng(0).normal(size=(4, 5))
        params = jax.tree.map(
            lambda a: np.asarray(a, np.float64), nnx.to_pure_dict(nnx.state(module, nnx.Param))
        )
        statistics = x @ params["encoder"]["kernel"] + params["encoder"]["bias"]
        mean, std = statistics[:, :3], np.log1p(np.exp(statistics[:, 3:]))
        decode = lambda z: z @ params["decoder"]["kernel"] + params["decoder"]["bias"]  # noqa: E731
        divergence = [sum(map(integrated_divergence, m, s)) for m, s in zip(mean, std)]

        at_evaluation, bits = module(jnp.asarray(x, jnp.float32))
        np.testing.assert_allclose(at_evaluation, decode(mean), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(bits, divergence, rtol=1e-5)

        key = jax.random.key(7)
        in_training, same_bits = module(jnp.asarray(x, jnp.float32), key)
        noise = np.asarray(jax.random.normal(key, (4, 3)))
        np.testing.assert_allclose(in_training, decode(mean + std * noise), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(same_bits, bits)

    @pytest.mark.parametrize("by_patches", [False, True])
    def test_convolutional_sees_three_by_three_positions(self, by_patches):
        build = defenses.convolutional(2, by_patches=by_patches)
        module = build((6, 7, 3), nnx.Rngs(0))
        x = jnp.zeros((1, 6, 7, 3))
        changed = module(x.at[0, 2, 4, 1].set(1.0))[0] - module(x)[0]
        touched = np.zeros((6, 7), bool)
        touched[1:4, 3:6] = True
        assert changed.shape == (1, 6, 7, 3)
        np.testing.assert_array_equal(np.asarray(changed[0] != 0).any(-1), touched)

    @pytest.mark.parametrize(("channels", "latent"), [(3, 8), (16, 8), (40, 20)])
    def test_convolutional_default_width(self, channels, latent):
        module = defenses.convolutional()((4, 4, channels), nnx.Rngs(0))
        assert module.decoder.kernel.shape == (1, 1, latent, channels)

    @pytest.mark.parametrize(
        ("build", "shape", "message"),
        [
            (defenses.linear(), (4, 4, 3), r"bottleneck=linear\(\).*\(4, 4, 3\).*convolutional"),
            (defenses.convolutional(), (12,), r"bottleneck=convolutional\(\).*\(12,\).*linear"),
        ],
    )
    def test_shapes_that_do_not_fit(self, build, shape, message):
        with pytest.raises(ValueError, match=message):
            build(shape, nnx.Rngs(0))

    def test_sizes_that_do_not_exist(self):
        with pytest.raises(ValueError, match="latent=0 must be at least 1"):
            defenses.linear(0)
        with pytest.raises(ValueError, match="latent_channels=0 must be at least 1"):
            defenses.convolutional(0)
