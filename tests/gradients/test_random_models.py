"""Random models: factored equals vmap(grad), whatever is composed with whatever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from gujax import gradients
from tests.gradients.checks import assert_exact, compiled, double, rows
from tests.gradients.random_models import models

# Compilation dominates: no deadline, no complaints.
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
# Shrinking a failure takes minutes: that is left to the long run, or to the printed blob.
SHORT = {**COMMON, "derandomize": True, "phases": (Phase.explicit, Phase.generate)}


def check_exact(model):
    assert_exact(model.loss, model.params(), model.batch(3, 1), model.batch(2, 2), rtol=1e-9)


def check_rounded(model, dtype):
    """The same forward and backward pass in low precision: only the last product may differ.

    Dense gradients round each product to the precision of its layer; relative to the longest
    gradient of the batch, the answers may differ by some units in the last place of it.
    """
    params, batch = model.params(dtype), model.batch(3, 1, dtype)
    G = rows(compiled(jax.vmap(jax.grad(model.loss), in_axes=(None, 0)), params, batch))

    def program(params, batch):
        grads = gradients.per_example_grads(model.loss)(params, batch)
        dense, norms = gradients.materialize(grads), gradients.squared_norms(grads)
        return dense, gradients.gram(grads), norms, gradients.weighted_sum(grads, jnp.ones(3))

    dense, K, norms, total = compiled(program, params, batch)
    rounding = float(jnp.finfo(jnp.bfloat16).eps) if "bfloat16" in repr(model) else 1e-5
    length = np.linalg.norm(G, axis=1).max() + 1e-6
    assert {leaf.dtype for leaf in jax.tree.leaves((dense, total))} == {np.dtype(dtype)}
    assert np.linalg.norm(rows(dense) - G, axis=1).max() <= 4 * rounding * length
    assert np.abs(double(K) - G @ G.T).max() <= 8 * rounding * length**2
    assert np.abs(double(norms) - np.sum(G**2, 1)).max() <= 8 * rounding * length**2
    flat = np.concatenate([double(leaf).ravel() for leaf in jax.tree.leaves(total)])
    assert np.linalg.norm(flat - G.sum(0)) <= 12 * rounding * length


@settings(max_examples=8, **SHORT)
@given(model=models())
def test_float64(model):
    check_exact(model)


@settings(max_examples=5, **SHORT)
@given(model=models(precisions=("bfloat16", "float32")))
def test_mixed_precision(model):
    check_rounded(model, np.float32)


@pytest.mark.long
@pytest.mark.parametrize("part", range(4))  # for as many processes as there are cores
@settings(max_examples=125, **COMMON)
@given(model=models(depth=3))
def test_float64_long(part, model):
    check_exact(model)


@pytest.mark.long
@settings(max_examples=50, **COMMON)
@given(model=models(depth=3, precisions=("bfloat16", "float32")))
def test_mixed_precision_long(model):
    check_rounded(model, np.float32)
