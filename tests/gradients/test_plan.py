"""Which gradients are kept as factors, multiplied out at once, or taken from the program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.gradients import gram, per_example_grads
from gujax.gradients._cost import DEFAULT_OPTIONS
from gujax.gradients._plan import plan_gradients


def convolution(params, x):
    out = jax.lax.conv(x[None], params["kernel"], (1, 1), "SAME")
    return jnp.sum(jnp.tanh(out) ** 2)


def product(params, x):
    return jnp.sum(jnp.tanh(x @ params["kernel"]) ** 2)


def planned(loss, kernel, example, batch_size):
    params = {"kernel": jax.ShapeDtypeStruct(kernel, jnp.float32)}
    batch = jax.ShapeDtypeStruct((batch_size, *example), jnp.float32)
    (leaf,) = plan_gradients(loss, False, params, batch, (), DEFAULT_OPTIONS).leaves
    assert leaf.reason is None
    return leaf


@pytest.mark.parametrize(
    ("batch_size", "as_is"),
    [(8, False), (64, True)],  # patches of 32 · 32 positions: 5 MiB, 42 MB
)
def test_large_patches_of_a_convolution_are_not_copied(batch_size, as_is):
    leaf = planned(convolution, (16, 16, 3, 3), (16, 32, 32), batch_size)
    assert leaf.formed
    assert leaf.as_is == as_is


def test_gradients_taken_as_they_are_stand_beside_factors():
    """One kernel of each kind, and a bias: each leaf gets its own gradient."""
    keys = iter(jax.random.split(jax.random.key(0), 4))
    params = {
        "bias": jnp.zeros((4, 1, 1)),
        "head": jax.random.normal(next(keys), (4 * 32 * 32, 3)) / 64,
        "kernel": jax.random.normal(next(keys), (4, 8, 3, 3)) / 8,
    }
    batch = jax.random.normal(next(keys), (64, 8, 32, 32))

    def loss(params, x):
        h = jax.lax.conv(x[None], params["kernel"], (1, 1), "SAME")[0] + params["bias"]
        return jnp.sum(jnp.tanh(jnp.tanh(h).ravel() @ params["head"]) ** 2)

    leaves = plan_gradients(loss, False, params, batch, (), DEFAULT_OPTIONS).leaves
    assert [(leaf.as_is, leaf.formed) for leaf in leaves] == [
        (True, False),
        (False, False),
        (True, True),
    ]
    grads = per_example_grads(loss)(params, batch)
    dense = per_example_grads(loss, method="dense")(params, batch)
    for name in params:
        ours, theirs = gram({name: grads[name]}), gram({name: dense[name]})
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_factors_that_repeat_nothing_are_multiplied_out_however_large():
    leaf = planned(product, (32, 32), (4096, 32), 64)
    assert leaf.formed
    assert not leaf.as_is
