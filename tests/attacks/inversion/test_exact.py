"""Exact attacks against the truth on random networks, and where their conditions do not hold."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax import models
from gujax.attacks import inversion

INPUTS, UNITS, CLASSES, BATCH = 3072, 200, 10, 8  # the published network


def relu_network(batch, seed=0, dtype=np.float64, inputs=INPUTS, units=UNITS):
    """Inputs, first layer and its gradients of a network with two hidden layers, by hand."""
    rng = np.random.default_rng(seed)
    sizes = (inputs, units, units, CLASSES)
    layers = [
        (rng.uniform(-1, 1, (a, b)) / a**0.5, rng.uniform(-1, 1, b) / a**0.5)
        for a, b in itertools.pairwise(sizes)
    ]
    x, y = rng.normal(size=(batch, inputs)), rng.integers(0, CLASSES, batch)
    z, h = [], x
    for weight, bias in layers:
        z.append(h @ weight + bias)
        h = np.maximum(z[-1], 0)
    p = np.exp(z[-1] - z[-1].max(1, keepdims=True))
    delta = (p / p.sum(1, keepdims=True) - np.eye(CLASSES)[y]) / batch
    for index in (2, 1):
        delta = (delta @ layers[index][0].T) * (z[index - 1] > 0)
    arrays = x, x.T @ delta, delta.sum(0), *layers[0]
    return tuple(array.astype(dtype) for array in arrays), delta


def psnr(found, truth):
    order = inversion.match_to_truth(np.asarray(found), truth)
    error = np.mean((np.asarray(found)[order] - truth) ** 2, axis=1)
    return 10 * np.log10(np.ptp(truth) ** 2 / error)


def test_spear_recovers_a_batch_exactly_at_the_published_width():
    (x, *shared), _ = relu_network(BATCH)
    found = inversion.spear(*shared, jax.random.key(0))
    assert found.inputs.dtype == np.float64
    assert psnr(found.inputs, x).min() > 100
    np.testing.assert_array_equal(found.agreement, 1)


def test_spear_in_single_precision_is_as_exact_as_that_allows():
    (x, *shared), _ = relu_network(4, dtype=np.float32, inputs=300)
    found = inversion.spear(*shared, jax.random.key(0))
    assert psnr(found.inputs, x).min() > 60
    assert found.agreement.min() > 0.95


def test_spear_of_one_example_and_of_one_without_a_gradient():
    (x, *shared), _ = relu_network(1, inputs=50)
    assert psnr(inversion.spear(*shared, jax.random.key(0)).inputs, x).min() > 100
    # An example that a clip has weighed with 0 has no part in the gradient.
    (x, _, _, *layer), delta = relu_network(3, inputs=50)
    delta = delta * np.array([2.0, 0.0, 0.5])[:, None]
    found = inversion.spear(x.T @ delta, delta.sum(0), *layer, jax.random.key(0))
    assert psnr(found.inputs, x[[0, 2]]).min() > 100


def test_spear_says_which_condition_does_not_hold():
    (_, kernel_gradient, bias_gradient, *layer), _ = relu_network(4, inputs=300)
    key = jax.random.key(0)
    noise = 1e-3 * np.std(kernel_gradient) * np.random.default_rng(1).normal(size=(300, UNITS))
    with pytest.raises(inversion.NotInvertible, match="full rank, 200: it is noisy or pruned"):
        inversion.spear(kernel_gradient + noise, bias_gradient, *layer, key)
    with pytest.raises(inversion.NotInvertible, match="zero or not finite"):
        inversion.spear(0 * kernel_gradient, bias_gradient, *layer, key)
    (_, *large), _ = relu_network(40, inputs=300)
    with pytest.raises(inversion.NotInvertible, match=r"rank 40: .* more than 2\^39 draws"):
        inversion.spear(*large, key)
    # Without a ReLU nothing is sparse.
    dense = np.random.default_rng(0).normal(size=(4, UNITS))
    x = np.random.default_rng(1).normal(size=(4, 300))
    with pytest.raises(inversion.NotInvertible, match="no ReLU follows"):
        inversion.spear(x.T @ dense, dense.sum(0), *layer, key, max_samples=4096)
    with pytest.raises(ValueError, match=r"bias_gradient has shape \(3,\)"):
        inversion.spear(kernel_gradient, np.ones(3), *layer, key)


def test_spear_knows_when_the_parameters_are_others():
    (x, kernel_gradient, bias_gradient, kernel, bias), _ = relu_network(4, inputs=300)
    found = inversion.spear(
        kernel_gradient, bias_gradient, kernel[::-1], bias, jax.random.key(0), max_samples=4096
    )
    assert psnr(found.inputs, x).min() > 100  # the factors do not depend on them
    assert found.agreement.max() < 0.7


def test_lone_units_give_exact_inputs_and_no_others():
    (x, kernel_gradient, bias_gradient, *_), delta = relu_network(4, units=400, inputs=300)
    found = inversion.lone_inputs(jnp.asarray(kernel_gradient), jnp.asarray(bias_gradient))
    alone = (delta != 0).sum(0) == 1
    expected = np.sort([np.sum(alone & (d != 0)) for d in delta])[::-1]
    np.testing.assert_allclose(found.units, expected, atol=2)  # units with a faint gradient
    assert len(found.inputs) == 4
    errors = np.linalg.norm(np.asarray(found.inputs)[:, None] - x, axis=-1).min(1)
    assert (errors < 1e-3 * np.linalg.norm(x[0])).all()
    assert (np.diff(found.units) <= 0).all()


def test_lone_units_say_when_there_are_none():
    rng = np.random.default_rng(0)
    (_, kernel_gradient, bias_gradient, *_), _ = relu_network(4, inputs=300)
    noise = 0.1 * np.std(kernel_gradient) * rng.normal(size=kernel_gradient.shape)
    with pytest.raises(inversion.NotInvertible, match=r"no two of the .* active units agree"):
        inversion.lone_inputs(jnp.asarray(kernel_gradient + noise), jnp.asarray(bias_gradient))
    with pytest.raises(inversion.NotInvertible, match="no two of the 0 active units"):
        inversion.lone_inputs(jnp.zeros((3, 2)), jnp.zeros(2))
    with pytest.raises(ValueError, match="kernel_gradient of shape"):
        inversion.lone_inputs(jnp.zeros((3, 2)), jnp.ones(3))


VOCABULARY, CONTEXT, WIDTH, TEXTS = 50, 6, 32, 4


@pytest.fixture(scope="module")
def language():
    """Gradient of the next-token loss of four texts, two of which begin alike."""
    model = models.gpt(CONTEXT, VOCABULARY, WIDTH, 2, 4)
    params = model.init(jax.random.key(0))
    texts = np.random.default_rng(0).integers(0, VOCABULARY, (TEXTS, CONTEXT + 1), np.int32)
    texts[1, :3] = texts[0, :3]

    def loss(params, text):
        logits = model.apply(params, text[:-1])
        return optax.softmax_cross_entropy_with_integer_labels(logits, text[1:]).mean()

    def gradients(texts):
        def total(params):
            return jax.vmap(loss, (None, 0))(params, texts).mean()

        blocks = jax.jit(jax.grad(total))(params)["blocks"]
        kernels = [blocks[i]["queries_keys_values"]["kernel"] for i in (0, 1)]
        return [np.asarray(kernel[:, : 2 * WIDTH]) for kernel in kernels]

    def attack(gradients, **options):
        return inversion.dager(
            gradients,
            lambda tokens: models.gpt_attention_inputs(params, tokens, 4),
            vocabulary=VOCABULARY,
            context=CONTEXT,
            **options,
        )

    return texts, gradients, attack


def test_dager_recovers_every_token_that_the_model_reads(language):
    texts, gradients, attack = language
    found = attack(gradients(texts))
    assert {*map(tuple, found.tokens.tolist())} == {*map(tuple, texts[:, :-1].tolist())}
    assert found.rank == TEXTS * CONTEXT - 3  # three tokens are twice at the same position
    assert found.distance.max() < 1e-4


def test_dager_says_which_condition_does_not_hold(language):
    texts, gradients, attack = language
    shared = gradients(texts)
    noise = [1e-2 * np.std(g) * np.random.default_rng(0).normal(size=g.shape) for g in shared]
    with pytest.raises(inversion.NotInvertible, match=r"rank 32, .* noisy or pruned"):
        attack([g + n.astype(g.dtype) for g, n in zip(shared, noise)])
    many = np.random.default_rng(1).integers(0, VOCABULARY, (TEXTS + 2, CONTEXT + 1), np.int32)
    with pytest.raises(inversion.NotInvertible, match="too many tokens"):
        attack(gradients(many))
    with pytest.raises(inversion.NotInvertible, match="zero or not finite"):
        attack([0 * g for g in shared])
    with pytest.raises(inversion.NotInvertible, match="no token fits position 0"):
        attack([g[::-1] for g in shared])
    with pytest.raises(inversion.NotInvertible, match="max_texts=1 allow"):
        attack(shared, tolerance=1.0, max_texts=1)
    with pytest.raises(ValueError, match="query_key_gradients holds shapes"):
        attack(shared[:1])
