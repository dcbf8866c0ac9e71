"""A batch computed block by block gives the numbers of the whole batch, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients, transforms
from tests.gradients.checks import assert_near, assert_trees_near, compiled, dense, rows

SIZE, OTHERS, FEATURES = 10, 7, 5


def loss(params, example, temperature):
    x, label = example
    hidden = jax.nn.gelu(x @ params["inner"] + params["bias"])  # x: [positions, features]
    logits = jax.nn.log_softmax(hidden.mean(0) @ params["outer"] / temperature)
    return -logits[label]


def problem():
    rng = np.random.default_rng(0)
    params = {
        "inner": rng.normal(size=(FEATURES, 8)),
        "bias": rng.normal(size=8),
        "outer": rng.normal(size=(8, 3)),
    }

    def batch(size):
        return rng.normal(size=(size, 2, FEATURES)), rng.integers(0, 3, size, dtype=np.int32)

    return params, batch(SIZE), batch(OTHERS), (1.5,)


def truth(params, batch, shared):
    values, grads = dense(loss, params, batch, shared)
    return values, grads, rows(grads)


# Blocks that divide the batch or not; of one example; of the whole batch; of more.
@pytest.mark.parametrize(
    ("method", "block"),
    [
        *(("factored", block) for block in (1, 5, 16)),
        ("dense", 3),
        *(pytest.param("factored", block, marks=pytest.mark.long) for block in (3, 10)),
        *(pytest.param("dense", block, marks=pytest.mark.long) for block in (1, 5, 10, 16)),
    ],
)
def test_every_answer_is_exact(method, block):
    params, batch, others, shared = problem()
    transform = gradients.value_and_per_example_grads(loss, method=method, microbatch_size=block)
    weights = np.random.default_rng(1).normal(size=SIZE)

    def program(params, batch, others):
        values, grads = transform(params, batch, *shared)
        other_grads = transform(params, others, *shared)[1]
        whole = gradients.per_example_grads(loss, method=method)(params, others, *shared)
        assert gradients.num_examples(grads) == SIZE
        return {
            "values": values,
            "gram": gradients.gram(grads),
            "cross": gradients.gram(grads, other_grads),
            "whole": gradients.gram(grads, whole),
            "from whole": gradients.gram(whole, grads),
            "squared_norms": gradients.squared_norms(grads),
            "weighted_sum": gradients.weighted_sum(grads, weights),
            "dense": gradients.materialize(grads),
        }

    got = compiled(program, params, batch, others)
    values, grads, G = truth(params, batch, shared)
    H = truth(params, others, shared)[2]
    lengths, other_lengths = np.linalg.norm(G, axis=1), np.linalg.norm(H, axis=1)
    total = jax.tree.map(lambda g: np.tensordot(weights, np.asarray(g), 1), grads)
    assert_near(got["values"], values, 1e-10, 1.0, "values")
    assert_near(got["gram"], G @ G.T, 1e-10, np.outer(lengths, lengths), "gram")
    assert_near(got["cross"], G @ H.T, 1e-10, np.outer(lengths, other_lengths), "cross")
    assert_near(got["squared_norms"], lengths**2, 1e-10, lengths**2, "squared_norms")
    assert_trees_near(got["weighted_sum"], total, 1e-10, "weighted_sum")
    assert_trees_near(got["dense"], grads, 1e-10, "materialize")


def test_outside_jit():
    params, batch, _, shared = problem()
    grads = gradients.per_example_grads(loss, microbatch_size=4)(params, batch, *shared)
    G = truth(params, batch, shared)[2]
    np.testing.assert_allclose(gradients.gram(grads), G @ G.T, rtol=1e-10, atol=1e-12)


def test_auxiliary_output():
    params, batch, _, shared = problem()

    def with_aux(params, example, temperature):
        value = loss(params, example, temperature)
        return value, {"twice": 2 * value, "label": example[1]}

    transform = gradients.value_and_per_example_grads(with_aux, has_aux=True, microbatch_size=3)
    (values, aux), grads = transform(params, batch, *shared)
    expected, _, G = truth(params, batch, shared)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    np.testing.assert_allclose(aux["twice"], 2 * np.asarray(expected), rtol=1e-10)
    np.testing.assert_array_equal(aux["label"], batch[1])
    np.testing.assert_allclose(gradients.gram(grads), G @ G.T, rtol=1e-10, atol=1e-12)


COMMON = {"relative_ridge": 0.1, "num_examples": 30}
TRANSFORMS = {
    "mean": lambda: transforms.mean(**COMMON),
    "uniqueness_gate": lambda: transforms.uniqueness_gate(quantile=0.7, **COMMON),
    "uniqueness_clip": lambda: transforms.uniqueness_clip(0.5, **COMMON),
    "disclosure_budget": lambda: transforms.disclosure_budget(0.5, **COMMON),
    "dp_sgd": lambda: transforms.dp_sgd(1.0, 0.5, SIZE, jax.random.key(0), num_examples=30),
}


def raw(x):
    """PRNG keys as numbers."""
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transformation_agrees(name):
    params, batch, _, shared = problem()
    ids, mask = np.arange(SIZE)[::-1] + 3, np.arange(SIZE) != 4

    def step(params, batch, microbatch_size):
        transform = TRANSFORMS[name]()
        grads_fn = gradients.per_example_grads(loss, microbatch_size=microbatch_size)
        state = transform.init(params)
        return transform.update(
            grads_fn(params, batch, *shared), state, params, example_ids=ids, mask=mask
        )

    found, expected = (
        compiled(lambda params, batch, size=size: step(params, batch, size), params, batch)
        for size in (3, None)
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    found, expected = jax.tree.map(raw, (found, expected))
    for (path, x), y in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(expected)):
        where = jax.tree_util.keystr(path)
        # The ledger adds up float32, whatever the gradients.
        exact = x.dtype == np.float64
        rtol = 1e-10 if exact else 1e-6
        np.testing.assert_allclose(
            x, y, rtol=rtol, atol=rtol * np.max(np.abs(y), initial=0.0), err_msg=where
        )


def test_takes_less_memory():
    """Measured on the compiled program: 64 examples, a wide model, blocks of 8."""
    width, size = 256, 64

    def wide(params, x):
        for layer in params:
            x = jnp.tanh(x @ layer)
        return jnp.sum(x**2)

    params = [jax.ShapeDtypeStruct((width, width), jnp.float32)] * 4
    batch = jax.ShapeDtypeStruct((size, 16, width), jnp.float32)

    def memory(answer, **options):
        grads_fn = gradients.per_example_grads(wide, **options)
        program = jax.jit(lambda params, batch: answer(grads_fn(params, batch)))
        analysis = program.lower(params, batch).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    def release(grads):
        return gradients.weighted_sum(grads, jnp.ones(size, jnp.float32))

    for answer in (gradients.gram, gradients.squared_norms, release):
        blocks, whole = memory(answer, microbatch_size=8), memory(answer)
        assert 0 < blocks < 0.2 * whole, answer.__name__
