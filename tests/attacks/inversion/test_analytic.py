import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import models, training
from gujax.attacks import inversion


def test_recovers_the_input_of_an_mlp():
    model = models.mlp((4, 5), 3, hidden=(16, 8))
    params = jax.jit(model.init)(jax.random.key(0))
    gradient_fn = inversion.batch_gradient(training.cross_entropy_loss(model))
    x = jax.random.uniform(jax.random.key(1), (6, 1, 4, 5))
    shared = jax.jit(jax.vmap(gradient_fn, (None, 0)))(params, (x, jnp.arange(6)[:, None] % 3))
    first = shared["layers"][0]
    found = jax.vmap(inversion.first_layer_input)(first["kernel"], first["bias"])
    assert inversion.feature_error(found.reshape(x.shape), x).max() < 1e-5


def test_reads_the_output_with_the_largest_error_signal():
    x, delta = np.array([1.0, -2.0, 3.0]), np.array([1e-3, -4.0, 2.0])
    kernel = np.outer(x, delta)
    kernel[:, [0, 2]] += 1.0  # noise that the weaker outputs would amplify
    found = inversion.first_layer_input(jnp.asarray(kernel), jnp.asarray(delta))
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="bias_gradient is 0 everywhere"):
        inversion.first_layer_input(jnp.zeros((3, 2)), jnp.zeros(2))
    with pytest.raises(ValueError, match="kernel_gradient of shape"):
        inversion.first_layer_input(jnp.zeros((3, 2)), jnp.ones(3))
