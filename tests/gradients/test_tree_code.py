"""Per-example gradients in the hands of other people's tree code: right, or refused.

Truth is the same code on dense gradients. Before factors were sealed, most of this gave another
number without a word: a tree divided by 8 was divided by 64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gujax

RNG = np.random.default_rng(0)
PARAMS = {
    "w": RNG.normal(size=(12, 30)) / 4,
    "v": RNG.normal(size=(30, 3)) / 5,
    "b": np.ones(3),
}
X = RNG.normal(size=(8, 12))


def loss(params, x):
    return jnp.sum((jnp.tanh(x @ params["w"]) @ params["v"] + params["b"]) ** 2)


def tree(f):
    return lambda grads: jax.tree.map(f, grads)


def through(transformation):
    return lambda grads: transformation.update(grads, transformation.init(PARAMS))[0]


# What moves whole examples, or all of them, is right; microbatched gradients cannot be cut.
PASSED = {
    "identity": tree(lambda x: x),
    "jit": jax.jit(lambda grads: grads),
    "device_put": jax.device_put,
    "stop_gradient": jax.lax.stop_gradient,
    "nan_to_num": tree(jnp.nan_to_num),
    "optax.identity": through(optax.identity()),
}
CUT = {
    "slice": tree(lambda x: x[1:4]),
    "permutation": tree(lambda x: x[jnp.array([3, 1, 2])]),
    "concatenation": lambda grads: jax.tree.map(lambda a, b: jnp.concatenate([a, b]), grads, grads),
    "roll": tree(lambda x: jnp.roll(x, 1, 0)),
    "zeros": tree(jnp.zeros_like),
}
# Arithmetic of any kind, and whatever mixes axes.
REFUSED = {
    "division": tree(lambda x: x / 8),
    "product": tree(lambda x: np.float64(0.5) * x),
    "sum with itself": lambda grads: jax.tree.map(jnp.add, grads, grads),
    "difference": lambda grads: jax.tree.map(lambda a, b: a - b, grads, grads),
    "ones": tree(jnp.ones_like),
    "flip of all axes": tree(jnp.flip),
    "reshape": tree(lambda x: x.reshape(-1)),
    "transpose": tree(lambda x: x.T),
    "mean": tree(lambda x: jnp.mean(x, 0)),
    "sum": tree(lambda x: x.sum(0)),
    "einsum": tree(lambda x: jnp.einsum("b,b...->...", jnp.ones(8), x)),
    "cast": lambda grads: optax.tree.cast(grads, jnp.bfloat16),
    "numpy": tree(lambda x: jnp.asarray(np.asarray(x))),
    "per example": lambda grads: jax.vmap(tree(lambda x: x / 8))(grads),
    "one leaf": lambda grads: grads["w"] * 2 if isinstance(grads, dict) else grads * 2,
    "optax.scale": through(optax.scale(0.5)),
    "optax.clip": through(optax.clip(0.5)),
    "optax.clip_by_global_norm": through(optax.clip_by_global_norm(0.5)),
    "optax.add_noise": through(optax.add_noise(0.1, 0.5, 0)),
    "optax.centralize": through(optax.centralize()),
    "optax.tree.sum": optax.tree.sum,
    "optax.apply_updates": lambda grads: optax.apply_updates(PARAMS, grads),
}
WAYS = {"factored": {}, "microbatched": {"microbatch_size": 3}}
# Ours are TypeErrors; where JAX, NumPy or optax look at a leaf first, the error is theirs.
REFUSALS = (TypeError, ValueError, NotImplementedError, AttributeError)


def grads_of(way):
    return gujax.per_example_grads(loss, **WAYS[way])(PARAMS, X)


@pytest.mark.parametrize("jitted", [False, True], ids=["outside of jit", "in jit"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*PASSED, *CUT])
def test_examples_are_moved(name, way, jitted):
    operation = {**PASSED, **CUT}[name]
    measure = lambda grads: gujax.gram(operation(grads))  # noqa: E731
    run = jax.jit(measure) if jitted else measure
    if way == "microbatched" and name in CUT and not (jitted and name in ("roll", "zeros")):
        with pytest.raises(TypeError, match="per-example gradients"):
            run(grads_of(way))
        return
    found = run(grads_of(way))
    if way == "microbatched" and name in CUT:  # known only when the values are: never a number
        assert np.isnan(found).all()
        return
    dense = gujax.per_example_grads(loss, method="dense")(PARAMS, X)
    np.testing.assert_allclose(found, measure(dense), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("jitted", [False, True], ids=["outside of jit", "in jit"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REFUSED)
def test_arithmetic_is_refused(name, way, jitted):
    def measure(grads):
        changed = REFUSED[name](grads)
        return gujax.gram(changed) if name != "optax.tree.sum" else changed

    run = jax.jit(measure) if jitted else measure
    try:
        found = run(grads_of(way))
    except REFUSALS:
        return
    assert jitted
    assert np.isnan(found).all(), "a number that nobody should trust"


def test_errors_say_what_to_do():
    grads = grads_of("factored")
    for operation in ("division", "one leaf", "sum with itself"):
        with pytest.raises(TypeError, match="weighted_sum"):
            gujax.gram(REFUSED[operation](grads))
    with pytest.raises(AttributeError, match="weighted_sum"):
        grads["w"].sum()


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted({**PASSED, **CUT, **REFUSED})), min_size=1, max_size=4),
    way=st.sampled_from(sorted(WAYS)),
)
@example(names=["slice"] * 4, way="factored")  # no example is left
def test_any_sequence_is_right_or_refused(names, way):
    with jax.enable_x64(True):  # the fixture is not that of every example

        def run(grads):
            for name in names:
                grads = {**PASSED, **CUT, **REFUSED}[name](grads)
            return gujax.gram(grads), gujax.weighted_sum(grads, jnp.ones(gujax.num_examples(grads)))

        try:
            found = run(grads_of(way))
        except REFUSALS:
            assert not set(names) <= set(PASSED)
            return
        dense = gujax.per_example_grads(loss, method="dense")(PARAMS, X)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(run(dense)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
