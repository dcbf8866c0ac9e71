"""Random projections against the Gram matrix of dense gradients, over many keys."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from gujax.gradients._cost import Sizes
from gujax.gradients._factored import FactoredLeaf
from gujax.gradients._layout import Negate, Pad, Reshape, Reverse, Transpose, place
from gujax.gradients._separation import separate
from tests.gradients.checks import rows

EXAMPLES, KEYS = 4, 3000


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def matrix(params, x):
    """A matrix at three positions."""
    return jnp.sum(jnp.tanh(x @ params) ** 2)


def grouped(params, x):
    """One matrix per group of inputs."""
    return jnp.sum(jnp.tanh(jnp.einsum("gi,gio->go", x, params)) ** 2)


def tied(params, tokens):
    """A table that is looked up (one row number is out of range) and multiplied with."""
    hidden = jnp.tanh(jnp.take(params, tokens, axis=0, mode="fill", fill_value=0.5))
    return jnp.sum(jax.nn.logsumexp(hidden @ params.T, axis=-1))


TOKENS = np.random.default_rng(5).integers(0, 25, size=(EXAMPLES, 2))
TOKENS[0, 0] = 40
FACTORED = {  # loss, parameter, batch
    "matrix": (matrix, normal(0, 20, 9) / 3, normal(1, EXAMPLES, 3, 20)),
    "grouped": (grouped, normal(2, 3, 12, 9) / 3, normal(3, EXAMPLES, 3, 12)),
    "tied": (tied, normal(4, 25, 8) / 3, TOKENS),
}


def sketched_grams(grads, size):
    """Gram matrices of the sketches of `KEYS` keys."""

    def one(key):
        x = gradients.sketch(grads, key, size)
        assert x.shape == (EXAMPLES, size)
        return x @ x.T

    keys = jax.random.split(jax.random.key(7), KEYS)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=100))(keys))


def assert_unbiased(grams, dense, size):
    exact = dense @ dense.T
    error = grams.std(axis=0) / np.sqrt(KEYS)
    z = (grams.mean(axis=0) - exact) / error
    assert np.abs(z[np.triu_indices(EXAMPLES)]).max() < 4
    norms = np.sqrt(np.diag(exact))
    assert np.all(grams.std(axis=0) < 1.05 * np.sqrt(8 / size) * np.outer(norms, norms))


@pytest.mark.parametrize(("name", "size"), [("matrix", 15), ("grouped", 24), ("tied", 16)])
def test_unbiased_without_forming_products(name, size, monkeypatch):
    loss, params, batch = FACTORED[name]
    dense = rows(jax.vmap(jax.grad(loss), (None, 0))(params, batch))
    grads = gradients.per_example_grads(loss)(params, batch)

    def fail(self):
        raise AssertionError("the product is formed")

    monkeypatch.setattr(FactoredLeaf, "materialize", fail)
    assert_unbiased(sketched_grams(grads, size), dense, size)


def test_unbiased_over_several_dense_leaves():
    """Leaves longer and shorter than the sketch, all added to the same numbers."""
    grads = {
        "a": normal(8, EXAMPLES, 30),
        "b": normal(9, EXAMPLES, 2, 3),
        "c": normal(10, EXAMPLES),
    }
    assert_unbiased(sketched_grams(grads, 12), rows(grads), 12)


@pytest.mark.parametrize("shape", [(10,), (2, 5), ()])
def test_exact_where_a_dense_leaf_fits(shape):
    grads = normal(0, EXAMPLES, *shape)
    x = gradients.sketch({"a": grads}, jax.random.key(0), 10)
    dense = grads.reshape(EXAMPLES, -1)
    np.testing.assert_allclose(x @ x.T, dense @ dense.T, rtol=1e-12)


def test_products_smaller_than_their_projections_are_exact():
    loss, params, batch = FACTORED["matrix"]
    grads = gradients.per_example_grads(loss)(params, batch)
    assert isinstance(grads, FactoredLeaf)
    x = gradients.sketch(grads, jax.random.key(0), params.size)
    np.testing.assert_allclose(x @ x.T, gradients.gram(grads), rtol=1e-10)


def attention(params, x):
    """Projections to heads and back, whose parameters have three axes."""
    heads = jnp.tanh(jnp.einsum("td,dhe->the", x, params["in"]))
    return jnp.sum(jnp.tanh(jnp.einsum("the,hed->td", heads, params["out"])) ** 2)


def convolved(params, x):
    """A grouped convolution, and one whose output is a parameter's slice of channels."""
    layout = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x[None], params["grouped"], (1, 1), "SAME", dimension_numbers=layout, feature_group_count=2
    )
    kernel = params["flipped"][:, :, ::-1, 1:]
    x = jax.lax.conv_general_dilated(jnp.tanh(x), kernel, (2, 2), "SAME", dimension_numbers=layout)
    return jnp.sum(jnp.tanh(x) ** 2)


def stacked(params, x):
    """Layers under a scan, a matrix used as its transpose, subtracted, and one kept flat."""
    x, _ = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, params["layers"])
    x = jnp.tanh(x @ params["flat"].reshape(12, 14) - x @ params["out"].T)
    return jnp.sum(x**2)


def kernel(seed, *shape):
    return normal(seed, *shape) / 3


KINDS = {  # loss, parameters, batch, whose axes of positions may be cut
    "matrix": (matrix, FACTORED["matrix"][1], normal(21, EXAMPLES, 6, 20)),
    "grouped": FACTORED["grouped"],
    "tied": FACTORED["tied"],
    "attention": (
        attention,
        {"in": kernel(11, 18, 3, 5), "out": kernel(12, 3, 5, 18)},
        normal(13, EXAMPLES, 3, 18),
    ),
    "convolved": (
        convolved,
        {"grouped": kernel(14, 3, 3, 2, 6), "flipped": kernel(15, 3, 3, 6, 8)},
        normal(16, EXAMPLES, 3, 3, 4),
    ),
    "stacked": (
        stacked,
        {"layers": kernel(17, 3, 12, 12), "flat": kernel(18, 168), "out": kernel(19, 14, 12)},
        normal(20, EXAMPLES, 2, 12),
    ),
}


def test_a_batch_decides_whether_products_are_kept():
    """The case for one projection: a query is kept as factors, the data are not."""
    loss, params, batch = KINDS["matrix"]
    one, all_of_them = (
        gradients.per_example_grads(loss)(params, some) for some in (batch[:1], batch)
    )
    assert isinstance(one, FactoredLeaf)
    assert not isinstance(all_of_them, FactoredLeaf)


@pytest.mark.parametrize(
    "name",
    [
        *("matrix", "attention", "convolved"),
        *(pytest.param(n, marks=pytest.mark.long) for n in ("stacked", "grouped", "tied")),
    ],
)
def test_one_key_is_one_projection(name):
    """Of the gradient alone: whatever the rest of the batch, its size, the method, the length."""
    loss, params, batch = KINDS[name]
    key = jax.random.key(3)

    @partial(jax.jit, static_argnames="method")
    def sketched(params, batch, key, method="factored"):
        grads = gradients.per_example_grads(loss, method=method)(params, batch)
        return gradients.sketch(grads, key, 8)

    found = sketched(params, batch, key)
    scale = np.abs(found).max()
    for other in (
        sketched(params, batch[::-1], key)[::-1],
        jnp.concatenate([sketched(params, batch[i : i + 1], key) for i in range(EXAMPLES)]),
        sketched(params, batch, key, method="dense"),
    ):
        np.testing.assert_allclose(other, found, rtol=1e-9, atol=1e-11 * scale)
    if name in ("matrix", "attention", "stacked"):
        short = batch[:, :1]
        np.testing.assert_allclose(
            sketched(params, short, key),
            sketched(params, short, key, method="dense"),
            rtol=1e-9,
            atol=1e-11 * scale,
        )
    assert not np.allclose(sketched(params, batch, jax.random.key(4)), found, rtol=0.1)


@pytest.mark.parametrize(
    ("placement", "separable"),
    [
        ((), True),
        ((Transpose((0, 2, 1)),), True),
        ((Reshape((2, 3, 4, 5)), Transpose((3, 0, 2, 1)), Negate()), True),
        ((Reshape((6, 4, 5)), Reverse((0, 2)), Pad(((1, 2, 1), (0, 0, 0), (0, 3, 2)))), True),
        ((Transpose((1, 0, 2)), Reshape((12, 10)), Reverse((1,))), True),
        ((Reshape((2, 3, 2, 2, 5)), Transpose((1, 4, 0, 3, 2)), Reshape((15, 2, 4))), False),
        ((Reshape((120,)),), False),
        ((Transpose((1, 0, 2)), Reverse((1,)), Reshape((12, 10))), False),
        ((Reshape((8, 15)),), False),
    ],
)
def test_where_a_product_goes(placement, separable):
    sizes = Sizes(groups=2, positions=1, rows=12, columns=5)
    numbered = np.arange(1.0, 121).reshape(sizes.product)
    placed = np.asarray(place(placement, numbered))
    found = separate(sizes, placement)
    assert (found is not None) == separable
    if not separable:
        return
    assert found.left.keys() | found.right.keys() == set(range(placed.ndim))
    at = [
        found.left[axis][:, :, None] if axis in found.left else found.right[axis][:, None, :]
        for axis in range(placed.ndim)
    ]
    np.testing.assert_array_equal(placed[tuple(at)] * found.sign, numbered)


def test_accumulates_in_float32():
    grads = jnp.ones((2, 5000), jnp.bfloat16)
    x = gradients.sketch(grads, jax.random.key(0), 6000)
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x @ x.T, np.full((2, 2), 5000.0))


def test_errors():
    loss, params, batch = FACTORED["matrix"]
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="size must be greater than 0"):
        gradients.sketch(normal(0, 3, 4), key, 0)
    microbatched = gradients.per_example_grads(loss, microbatch_size=2)(params, batch)
    with pytest.raises(ValueError, match="without microbatch_size"):
        gradients.sketch(microbatched, key, 16)
    with pytest.raises(ValueError, match="expected per-example gradients"):
        gradients.sketch({"a": normal(0, 3, 4), "b": normal(0, 4)}, key, 16)
