import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import trees
from gujax.attacks import inversion
from gujax.attacks.inversion.search import Candidate, matching_loss

LOSSES = [inversion.squared_distance, inversion.cosine_distance]


def leaves(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, 4)), rng.normal(size=5)]


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def test_values_are_those_of_the_flat_vectors():
    a, b = leaves(0), leaves(1)
    u, v = flat(a), flat(b)
    with jax.enable_x64(True):
        squared = inversion.squared_distance([*map(jnp.asarray, a)], [*map(jnp.asarray, b)])
        cosine = inversion.cosine_distance([*map(jnp.asarray, a)], [*map(jnp.asarray, b)])
    assert float(squared) == pytest.approx(np.sum((u - v) ** 2), rel=1e-12)
    expected = 1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
    assert float(cosine) == pytest.approx(expected, rel=1e-12)


def test_a_gradient_of_zero_has_no_direction():
    zero, other = [jnp.zeros(3)], [jnp.ones(3)]
    value, slope = jax.value_and_grad(inversion.cosine_distance)(zero, other)
    assert value == 1
    assert np.isfinite(slope[0]).all()
    assert inversion.cosine_distance(other, zero) == 1


def two_layers(params, example):
    x, y = example
    return jnp.sum((jnp.tanh(x @ params["first"]) @ params["second"] - y) ** 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_at_the_truth_and_its_derivative_is_that_of_differences(loss):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        params = {"first": jnp.asarray(rng.normal(size=(4, 5))), "second": jnp.ones((5, 2))}
        x, y = jnp.asarray(rng.normal(size=(2, 4))), jnp.asarray(rng.normal(size=(2, 2)))
        gradient_fn = inversion.batch_gradient(two_layers)
        attack = inversion.GradientMatching(None, 1, loss)
        matching = matching_loss(attack, gradient_fn, params, gradient_fn(params, (x, y)), y)

        def objective(x):
            return matching(Candidate(x, None))

        assert abs(objective(x)) < 1e-14
        other, direction = x + 0.3 * rng.normal(size=x.shape), rng.normal(size=x.shape)
        slope = jnp.vdot(jax.grad(objective)(other), direction)
        step = 1e-5
        ahead, behind = objective(other + step * direction), objective(other - step * direction)
        assert float(slope) == pytest.approx(float((ahead - behind) / (2 * step)), rel=1e-7)


UPDATE = {"head": jnp.full(2, 2.0), "layers": {"0": jnp.ones(3), "01": jnp.ones(4)}}


class TestLeafWeights:
    def sizes(self, leaf_weights):
        return [leaf.size for leaf in trees.weigh(leaf_weights, UPDATE)]

    def test_prefixes_end_where_names_end(self):
        assert self.sizes(inversion.every_leaf) == [2, 3, 4]
        assert self.sizes(inversion.only("layers")) == [3, 4]
        assert self.sizes(inversion.only("layers/0", "head")) == [2, 3]
        assert self.sizes(inversion.without("layers/0")) == [2, 4]

    def test_weights_multiply_squared_distances(self):
        def by_depth(paths):
            assert paths == ["head", "layers/0", "layers/01"]
            return [3.0, 0.0, 0.5]

        weighed = trees.weigh(by_depth, UPDATE)
        # 3 · 2 · 2² + 0.5 · 4 · 1²
        zero = [jnp.zeros_like(leaf) for leaf in weighed]
        assert inversion.squared_distance(weighed, zero) == pytest.approx(26.0, rel=1e-6)

    @pytest.mark.parametrize(
        ("leaf_weights", "message"),
        [
            (inversion.only("bottleneck"), r"leaf_weights=only\('bottleneck'\).*layers/01"),
            (inversion.without("hea"), r"leaf_weights=without\('hea'\)"),
            (inversion.without("head", "layers"), "leaf_weights matches no leaf.*has head, "),
            (inversion.only(), "leaf_weights matches no leaf"),
            (lambda paths: [1.0], "leaf_weights gives .* for 3 leaves"),
            (lambda paths: [1.0, -1.0, 1.0], "must give each a number ≥ 0"),
        ],
    )
    def test_wrong_weights(self, leaf_weights, message):
        with pytest.raises(ValueError, match=message):
            self.sizes(leaf_weights)
