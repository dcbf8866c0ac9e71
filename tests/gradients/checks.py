"""The truth, `jax.vmap(jax.grad(loss))` in plain numpy, and the comparison with it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gujax import gradients

# Hundreds of small programs are compiled to run once: do not optimize them (4-6 times faster).
# Without excess precision, a cast to bfloat16 rounds where it is written.
COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_allow_excess_precision": False,
}

# The models here have inputs and parameters of order one. Where all that they compute cancels, both
# answers are rounding noise: values and gradients below this are compared as if they were as large.
CANCELLED = 1e-5


def compiled(function, *arguments):
    """`function(*arguments)` under jit, compiled cheaply."""
    return jax.jit(function).lower(*arguments).compile(COMPILER_OPTIONS)(*arguments)


def as_arrays(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def double(x: Any) -> np.ndarray:
    return np.asarray(x).astype(np.float64)


def rows(tree: Any) -> np.ndarray:
    """Dense per-example gradients as a float64 matrix [examples, parameters]."""
    leaves = [double(leaf) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def assert_near(actual: Any, expected: Any, rtol: float, scale: Any, what: str) -> None:
    """|actual - expected| <= rtol * scale, elementwise, and equal shapes."""
    actual, expected = double(actual), double(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    error = np.max(np.abs(actual - expected) / (scale + np.finfo(np.float64).tiny), initial=0.0)
    assert error <= rtol, f"{what}: relative error {error:.2e} > {rtol:.0e}"


def assert_trees_near(actual: Any, expected: Any, rtol: float, what: str) -> None:
    """Same structure, shapes and dtypes; each leaf near relative to its largest element.

    A leaf whose exact gradient is zero is rounding noise in both: noise is measured against the
    largest element of the whole tree.
    """
    assert jax.tree.structure(actual) == jax.tree.structure(expected), f"{what}: another structure"

    def size(leaf):
        return np.max(np.abs(double(leaf)), initial=0.0)

    largest = max((size(leaf) for leaf in jax.tree.leaves(expected)), default=0.0)
    noise = 1e-5 * largest if largest > CANCELLED else CANCELLED
    for path, leaf in jax.tree.leaves_with_path(expected):
        name = f"{what}{jax.tree_util.keystr(path)}"
        found = dict(jax.tree.leaves_with_path(actual))[path]
        assert found.dtype == leaf.dtype, f"{name}: dtype {found.dtype}, not {leaf.dtype}"
        assert_near(found, leaf, rtol, max(size(leaf), noise), name)


def _concatenated(first: Any, second: Any) -> Any:
    """Along the example axis, in numpy (which needs no compilation) except for random keys."""
    if jax.dtypes.issubdtype(first.dtype, jax.dtypes.prng_key):
        return jnp.concatenate([first, second])
    return np.concatenate([first, second])


def dense(loss: Any, params: Any, batch: Any, shared: tuple = (), has_aux: bool = False) -> Any:
    """`(values, grads)` of every example, by JAX alone."""
    per_example = jax.vmap(
        jax.value_and_grad(loss, has_aux=has_aux), in_axes=(None, 0, *(None for _ in shared))
    )
    return compiled(per_example, params, batch, *shared)


def answers(loss: Any, params: Any, batch: Any, others: Any, weights: Any, shared: tuple) -> dict:
    """Everything that the contract offers, in one program."""
    transform = gradients.value_and_per_example_grads(loss)

    def program(params, batch, others, weights, shared):
        values, grads = transform(params, batch, *shared)
        _, other_grads = transform(params, others, *shared)
        return {
            "values": values,
            "gram": gradients.gram(grads),
            "cross": gradients.gram(grads, other_grads),
            "squared_norms": gradients.squared_norms(grads),
            "weighted_sum": gradients.weighted_sum(grads, weights),
            "dense": gradients.materialize(grads),
            "num_examples": gradients.num_examples(grads),
        }

    return compiled(program, params, batch, others, weights, shared)


def assert_exact(
    loss: Any, params: Any, batch: Any, others: Any, shared: tuple = (), rtol: float = 1e-10
) -> None:
    """Every answer of the factored engine agrees with dense gradients.

    Args:
        loss: loss of one example.
        params: parameters.
        batch: the batch.
        others: another batch, for the cross-Gram.
        shared: further arguments of the loss.
        rtol: relative to the norms of the two gradients (Gram) or the largest element of a leaf.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    weights = np.random.default_rng(size).normal(size=size)

    values, everyone = dense(loss, params, jax.tree.map(_concatenated, batch, others), shared)
    everyone = jax.tree.map(np.asarray, everyone)
    expected = jax.tree.map(lambda g: g[:size], everyone)
    G, H = rows(expected), rows(everyone)[size:]
    lengths, other_lengths = (np.maximum(np.linalg.norm(x, axis=1), CANCELLED) for x in (G, H))
    # Σ_i w_i g_i in the precision of the test, rounded to the parameter's own only at the end.
    total = jax.tree.map(
        lambda g: np.tensordot(double(weights), double(g), 1).astype(g.dtype), expected
    )

    got = answers(loss, params, batch, others, weights, shared)
    assert int(got["num_examples"]) == size
    values = double(values)[:size]
    assert_near(got["values"], values, rtol, np.max(np.abs(values), initial=CANCELLED), "values")
    assert_trees_near(got["dense"], expected, rtol, "materialize")
    assert_trees_near(got["weighted_sum"], total, rtol, "weighted_sum")
    assert_near(got["squared_norms"], np.sum(G**2, axis=1), rtol, lengths**2, "squared_norms")
    assert_near(got["gram"], G @ G.T, rtol, np.outer(lengths, lengths), "gram")
    assert_near(got["cross"], G @ H.T, rtol, np.outer(lengths, other_lengths), "gram with other")


def largest_array(function, *arguments):
    """Elements of the largest array in the program of `function`, nested programs included."""

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            yield from (v.aval.size for v in equation.outvars if hasattr(v.aval, "size"))
            for inner in core.jaxprs_in_params(equation.params):
                yield from visit(inner)

    return max(visit(jax.make_jaxpr(function)(*arguments).jaxpr))
