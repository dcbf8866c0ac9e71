"""Which gradients are kept as factors, multiplied out at once, or taken from the program."""

import jax
import jax.numpy as jnp
import pytest

from gujax.gradients.cost import DEFAULT_OPTIONS
from gujax.gradients.plan import plan_gradients


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


def test_factors_that_repeat_nothing_are_multiplied_out_however_large():
    leaf = planned(product, (32, 32), (4096, 32), 64)
    assert leaf.formed
    assert not leaf.as_is
