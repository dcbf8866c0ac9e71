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


def test_noise_on_the_gradient_averages_out_over_outputs():
    rng = np.random.default_rng(0)
    x, delta = rng.normal(size=200), rng.normal(size=1000)
    noisy = np.outer(x, delta) + rng.normal(size=(200, 1000))  # as much noise as gradient
    found = inversion.first_layer_input(jnp.asarray(noisy), jnp.asarray(delta))
    # Least squares: the noise of one entry over the square root of the number of outputs.
    assert np.std(np.asarray(found) - x) == pytest.approx(1000**-0.5, rel=0.15)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="bias_gradient is 0 everywhere"):
        inversion.first_layer_input(jnp.zeros((3, 2)), jnp.zeros(2))
    with pytest.raises(ValueError, match="kernel_gradient of shape"):
        inversion.first_layer_input(jnp.zeros((3, 2)), jnp.ones(3))
