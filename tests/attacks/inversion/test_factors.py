from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import defenses, models, training
from gujax.attacks import inversion
from gujax.attacks.inversion import _factors as factors
from gujax.trees import weigh

KEY = jax.random.key(0)


def noisy(model):
    widened = defenses.insert_bottleneck(model, "layers/1", defenses.linear(5))
    gradient_fn = inversion.batch_gradient(defenses.bottleneck_loss(widened))
    return widened, defenses.noise_averaged(gradient_fn, jax.random.key(7), 2)


def plain(model):
    return model, inversion.batch_gradient(training.cross_entropy_loss(model))


def weighted(paths):
    return [0.0 if path.endswith("1/bias") else 1.0 + 2 * (i % 2) for i, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("make", "leaf_weights", "size", "surrogate"),
    [
        (plain, weighted, 3, False),
        (noisy, inversion.every_leaf, 1, True),
        pytest.param(plain, inversion.every_leaf, 1, True, marks=pytest.mark.long),
        pytest.param(noisy, weighted, 3, False, marks=pytest.mark.long),
    ],
)
def test_is_the_distance_of_the_gradient_and_so_is_its_derivative(
    make, leaf_weights, size, surrogate
):
    model, gradient_fn = make(models.mlp((6,), 3, (40, 30)))
    if surrogate:
        gradient_fn = replace(gradient_fn, loss_fn=inversion.surrogate_relu(gradient_fn.loss_fn))
    params = model.init(KEY)
    x, truth = jax.random.normal(KEY, (2, size, 6))
    y = jnp.arange(size)
    target = weigh(leaf_weights, gradient_fn(params, (truth, y)))

    def formed(x):
        return inversion.cosine_distance(weigh(leaf_weights, gradient_fn(params, (x, y))), target)

    def kept(x):
        return factors.factored_cosine_distance(gradient_fn, params, (x, y), leaf_weights, target)

    expected, found = (jax.jit(jax.value_and_grad(f))(x) for f in (formed, kept))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6)


def test_it_pays_for_wide_layers_only():
    x, y = jnp.zeros((1, 256)), jnp.zeros(1, int)
    for width, worth in ((16, False), (256, True)):
        model, gradient_fn = plain(models.mlp((256,), 3, (width,)))
        assert factors.pays(gradient_fn, model.init(KEY), (x, y)) == worth
    model, gradient_fn = plain(models.lenet((32, 32, 3), 10, "relu"))
    assert not factors.pays(gradient_fn, model.init(KEY), (jnp.zeros((1, 32, 32, 3)), y))


def test_the_search_is_the_same(monkeypatch):
    model, gradient_fn = plain(models.mlp((6,), 3, (40, 30)))
    params = model.init(KEY)
    x, y = jax.random.normal(KEY, (2, 6)), jnp.arange(2)
    observed = gradient_fn(params, (x, y))
    found = []
    for worth in (2**30, 1):
        monkeypatch.setattr(factors, "_WORTH_IT", worth)
        attack = inversion.inverting_gradients(20, limits=None, total_variation_weight=0)
        found.append(
            inversion.invert(attack, gradient_fn, params, observed, KEY, inputs_like=x, labels=y)
        )
    np.testing.assert_allclose(found[0].inputs, found[1].inputs, atol=0.05)
