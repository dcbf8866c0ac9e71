"""Values and gradients are those of the loss; a second derivative is softplus's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

import gujax
from gujax import models, per_example_grads, training
from gujax.attacks import inversion

KEY = jax.random.key(0)
IMAGE = (8, 8, 2)


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Dropout(0.5, deterministic=True)(linen.relu(linen.Conv(3, (3, 3))(x)))
        return linen.Dense(3)(jax.checkpoint(linen.relu)(linen.Dense(5)(x.ravel())))


def of_linen():
    module = Linen()

    def loss_fn(params, example):
        x, y = example
        return training.cross_entropy(module.apply(params, x), y)

    return loss_fn, module.init(KEY, jnp.zeros(IMAGE))


def of_model(make):
    def build():
        model = make()
        return training.cross_entropy_loss(model), model.init(KEY)

    return build


CASES = {
    "mlp": of_model(lambda: models.mlp(IMAGE, 3, (7, 6))),
    "lenet": of_model(lambda: models.lenet(IMAGE, 3, "relu")),
    "vgg": of_model(lambda: models.vgg(IMAGE, 3, by_patches=True)),
    "resnet": of_model(lambda: models.resnet(IMAGE, 3)),
    "linen": of_linen,
}


def example(zeros=0):
    # Pixels that are 0 make units exactly 0 where there is no bias: ReLU's derivative there is 0.
    x = jax.random.normal(jax.random.key(1), IMAGE)
    return x.at[:, :zeros].set(0), jnp.asarray(2)


LARGE = ("vgg", "resnet")
every_case = pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=pytest.mark.long) if name in LARGE else name for name in CASES],
)


@every_case
def test_values_and_gradients_are_the_same_to_the_bit(case):
    loss_fn, params = CASES[case]()
    surrogate = inversion.surrogate_relu(loss_fn, 2.0)
    for one in (example(), example(5)):
        expected, found = (jax.value_and_grad(f)(params, one) for f in (loss_fn, surrogate))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@every_case
def test_the_derivative_of_the_gradient_is_another(case):
    loss_fn, params = CASES[case]()

    def squared_norm(x, loss_fn):
        gradient = jax.grad(loss_fn)(params, (x, example()[1]))
        return sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(gradient))

    plain, other = (
        jax.grad(squared_norm)(example()[0], f)
        for f in (loss_fn, inversion.surrogate_relu(loss_fn))
    )
    assert np.linalg.norm(other - plain) > 0.01 * np.linalg.norm(plain)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 7.0])
def test_the_second_derivative_is_that_of_softplus(sharpness):
    def loss_fn(params, z):
        return jnp.sum(jax.nn.relu(params * z))

    def softplus(z):
        return jax.nn.softplus(sharpness * z) / sharpness

    found = inversion.surrogate_relu(loss_fn, sharpness)
    with jax.enable_x64(True):
        for z in np.linspace(-3, 3, 12):
            one = jnp.ones(())
            second = jax.grad(jax.grad(found, argnums=1), argnums=1)(one, jnp.asarray(z))
            assert second == pytest.approx(float(jax.grad(jax.grad(softplus))(z)), rel=1e-10)
            # Of d/dw relu(w z) = z 1[w z > 0], whose derivative in z is 1[w z > 0] + w z δ(w z).
            mixed = jax.grad(jax.grad(found), argnums=1)(one, jnp.asarray(z))
            assert mixed == pytest.approx((z > 0) + z * float(second), rel=1e-10)


def test_only_relu_is_replaced():
    def loss_fn(params, z):
        return jnp.sum(jnp.maximum(params * z, 0) + jax.nn.sigmoid(z) + jax.nn.leaky_relu(z))

    def second(loss_fn):
        return jax.jacfwd(jax.grad(loss_fn, argnums=1), argnums=1)(jnp.ones(4), z)

    z = jnp.array([-1.0, 0.0, 0.5, 2.0])
    np.testing.assert_array_equal(second(inversion.surrogate_relu(loss_fn)), second(loss_fn))


def test_layers_stay_factored():
    model = models.mlp((6,), 3, (7, 5))
    loss_fn = training.cross_entropy_loss(model)
    params, batch = model.init(KEY), (jax.random.normal(KEY, (4, 6)), jnp.arange(4) % 3)
    expected, found = (
        per_example_grads(f)(params, batch) for f in (loss_fn, inversion.surrogate_relu(loss_fn))
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, *map(gujax.materialize, (found, expected)))


def test_the_same_loss_gives_the_same_function():
    loss_fn = training.cross_entropy_loss(models.mlp((6,), 3, (7,)))
    assert inversion.surrogate_relu(loss_fn) is inversion.surrogate_relu(loss_fn)
    assert inversion.surrogate_relu(loss_fn, 2.0) is not inversion.surrogate_relu(loss_fn, 3.0)


@pytest.mark.parametrize("sharpness", [0.0, -1.0, float("nan")])
def test_sharpness_must_be_positive(sharpness):
    with pytest.raises(ValueError, match="sharpness must be greater than 0"):
        inversion.surrogate_relu(lambda params, example: params, sharpness)
