"""Random projections against the Gram matrix of dense gradients, over many keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from gujax.gradients.factored import FactoredLeaf
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


def test_one_key_is_one_projection():
    """What an example's sketch is does not depend on the rest of its batch."""
    loss, params, batch = FACTORED["tied"]

    def sketched(batch, key):
        return gradients.sketch(gradients.per_example_grads(loss)(params, batch), key, 16)

    key = jax.random.key(3)
    np.testing.assert_allclose(sketched(batch[::-1], key), sketched(batch, key)[::-1], rtol=1e-10)
    assert not np.allclose(sketched(batch, jax.random.key(4)), sketched(batch, key), rtol=0.1)


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
