import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import erf, softmax

from gujax import gradients, models

CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS = 5, 7, 8, 2, 2


@pytest.fixture(scope="module")
def model():
    return models.gpt(CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS)


@pytest.fixture(scope="module")
def params(model):
    # Larger than at the start of training, so that attention is far from uniform.
    return jax.tree.map(lambda p: 3 * p, jax.jit(model.init)(jax.random.key(0)))


def tokens(*shape):
    return np.random.default_rng(0).integers(0, VOCABULARY, (*shape, CONTEXT))


def normalized(x, norm):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * norm["scale"] + norm["bias"]


def linear(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def textbook(params, sequence):
    """Logits of one sequence, in float64, one head and one position at a time."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    embedding = p["tokens"]["embedding"]
    x = embedding[sequence] + p["positions"]["embedding"]
    size = WIDTH // HEADS
    for index in range(LAYERS):
        block = p["blocks"][index]
        mixed = linear(normalized(x, block["attention_norm"]), block["queries_keys_values"])
        queries, keys, values = np.split(mixed, 3, axis=-1)
        attended = np.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for t in range(CONTEXT):
                past = slice(0, t + 1)
                scores = keys[past, part] @ queries[t, part] / np.sqrt(size)
                attended[t, part] = softmax(scores) @ values[past, part]
        x = x + linear(attended, block["attention_out"])
        hidden = linear(normalized(x, block["feed_forward_norm"]), block["expand"])
        # The tanh approximation of GELU, which GPT-2 uses, is within 1e-3 of the exact one.
        assert np.abs(gelu(hidden) - hidden * (1 + erf(hidden / np.sqrt(2))) / 2).max() < 1e-3
        x = x + linear(gelu(hidden), block["contract"])
    return normalized(x, p["norm"]) @ embedding.T


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_is_the_textbook_function(model, params):
    batch = tokens(3)
    logits = jax.jit(model.apply)(params, batch)
    assert logits.shape == (3, CONTEXT, VOCABULARY)
    expected = np.stack([textbook(params, sequence) for sequence in batch])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.apply(params, batch[1]), logits[1], rtol=1e-5, atol=1e-5)


def test_a_position_does_not_see_what_follows(model, params):
    batch = tokens(1)
    changed = batch.copy()
    changed[0, 3:] = (changed[0, 3:] + 1) % VOCABULARY
    apply = jax.jit(model.apply)
    before, after = apply(params, batch), apply(params, changed)
    np.testing.assert_array_equal(before[0, :3], after[0, :3])
    assert (before[0, 3:] != after[0, 3:]).all()


def test_gpt2_small_has_as_many_parameters_as_published():
    model = models.gpt(1024, 50257, width=768, layers=12, heads=12)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 124_439_808


def test_per_example_gradients_agree_with_autodiff(model, params):
    def loss(params, sequence):
        logits = model.apply(params, sequence)
        targets = jnp.roll(sequence, -1)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    batch = jnp.asarray(tokens(3))
    grads = gradients.materialize(gradients.per_example_grads(loss)(params, batch))
    gradient = jax.jit(jax.grad(loss))
    for i in range(3):
        jax.tree.map(
            # Two float32 computations of the same sums in different order.
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5),
            grads,
            gradient(params, batch[i]),
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 9, "heads": 2}, "width=9 must be a multiple of heads=2"),
        ({"layers": 0}, "layers=0 must be at least 1"),
        ({"context": 0}, "context=0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.gpt(**({"context": 4, "vocabulary": 4} | arguments))
