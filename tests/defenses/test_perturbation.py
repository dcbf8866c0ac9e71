import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gujax import defenses
from gujax.attacks import inversion

STD = 0.7
NOISES = {
    "gaussian": (defenses.gaussian_noise, stats.norm(scale=STD)),
    "laplacian": (defenses.laplacian_noise, stats.laplace(scale=STD / np.sqrt(2))),
}


def gradient():
    return {"first": {"kernel": jnp.full((150, 200), 3.0)}, "head": jnp.full((30_000,), -1.0)}


@pytest.mark.parametrize("name", NOISES)
class TestNoise:
    def added(self, name, seed=0):
        noisy = defenses.perturb(NOISES[name][0](STD, jax.random.key(seed)), gradient())
        difference = jax.tree.map(lambda a, b: np.asarray(a, np.float64) - b, noisy, gradient())
        return [leaf.ravel() for leaf in jax.tree.leaves(difference)]

    def test_has_the_distribution_it_says(self, name):
        distribution = NOISES[name][1]
        assert distribution.std() == pytest.approx(STD)
        for leaf in self.added(name):
            assert stats.kstest(leaf, distribution.cdf).pvalue > 1e-6
            # The scale by itself, which the Kolmogorov distance sees less sharply.
            kurtosis = distribution.stats(moments="k")
            error = STD**2 * np.sqrt((kurtosis + 2) / leaf.size)
            assert abs(np.mean(leaf**2) - STD**2) < stats.norm.isf(5e-7) * error

    def test_leaves_and_steps_are_independent(self, name):
        transformation = NOISES[name][0](STD, jax.random.key(0))
        zeros = jax.tree.map(jnp.zeros_like, gradient())
        first, state = transformation.update(zeros, transformation.init(zeros))
        second, _ = transformation.update(zeros, state)
        rows = [leaf.ravel() for leaf in jax.tree.leaves((first, second))]
        correlation = np.corrcoef(rows)[~np.eye(4, dtype=bool)]
        assert np.abs(correlation).max() < stats.norm.isf(5e-7 / 6) / np.sqrt(30_000)

    def test_without_scale_nothing_changes(self, name):
        found = defenses.perturb(NOISES[name][0](0.0, jax.random.key(0)), gradient())
        jax.tree.map(np.testing.assert_array_equal, found, gradient())

    def test_victims_by_vmap(self, name):
        def share(key):
            return defenses.perturb(NOISES[name][0](STD, key), {"w": jnp.zeros(5)})["w"]

        keys = jax.random.split(jax.random.key(1), 3)
        together = jax.vmap(share)(keys)
        np.testing.assert_allclose(together, jnp.stack([share(k) for k in keys]), rtol=1e-6)
        assert len(np.unique(together)) == 15

    def test_negative_scale(self, name):
        with pytest.raises(ValueError, match="std must be at least 0"):
            NOISES[name][0](-0.1, jax.random.key(0))


class TestPrune:
    @pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.9, 0.999])
    def test_keeps_the_largest(self, fraction):
        values = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
        kept = {0.0: 40, 0.25: 30, 0.5: 20, 0.9: 4, 0.999: 1}[fraction]
        threshold = np.sort(np.abs(values).ravel())[40 - kept]
        expected = np.where(np.abs(values) >= threshold, values, 0)
        found = defenses.perturb(defenses.prune(fraction), {"w": jnp.asarray(values)})["w"]
        np.testing.assert_array_equal(found, expected)

    def test_of_equal_entries_the_first_are_kept(self):
        found = defenses.perturb(defenses.prune(0.5), jnp.array([[1.0, -2.0, 2.0], [2.0, 1, -2]]))
        np.testing.assert_array_equal(found, [[0, -2, 2], [2, 0, 0]])

    def test_each_leaf_by_itself(self):
        found = defenses.perturb(
            defenses.prune(0.5), {"a": jnp.array([1.0, 2.0]), "b": jnp.array(-1e-3)}
        )
        np.testing.assert_array_equal(found["a"], [0, 2])
        assert found["b"] == jnp.float32(-1e-3)

    @pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
    def test_fraction_out_of_range(self, fraction):
        with pytest.raises(ValueError, match=r"fraction=.* must be at least 0 and below 1"):
            defenses.prune(fraction)

    def test_chains_with_an_optimizer(self):
        found = defenses.perturb(
            optax.chain(defenses.prune(0.5), optax.sgd(0.1)), jnp.array([4.0, 1.0])
        )
        np.testing.assert_allclose(found, [-0.4, 0.0], rtol=1e-6)


class TestPartialPerturbation:
    def test_touches_what_the_attack_would_match(self):
        noise = defenses.gaussian_noise(STD, jax.random.key(0))
        found = defenses.perturb(
            defenses.partial_perturbation(noise, inversion.without("head")), gradient()
        )
        np.testing.assert_array_equal(found["head"], gradient()["head"])
        added = np.asarray(found["first"]["kernel"] - 3.0, np.float64).ravel()
        assert stats.kstest(added, stats.norm(scale=STD).cdf).pvalue > 1e-6

    def test_leaves_that_are_not_there(self):
        partial = defenses.partial_perturbation(defenses.prune(0.5), inversion.without("tail"))
        with pytest.raises(ValueError, match=r"'tail'.*no such leaf"):
            defenses.perturb(partial, gradient())

    def test_no_leaf_left(self):
        partial = defenses.partial_perturbation(
            defenses.prune(0.5), inversion.without("first", "head")
        )
        with pytest.raises(ValueError, match=r"leaf_weights chooses no leaf.*first/kernel, head"):
            defenses.perturb(partial, gradient())
