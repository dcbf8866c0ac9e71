from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import gujax
from gujax import defenses, models
from gujax.attacks import inversion
from gujax.models._lenet import LeNet
from gujax.models._mlp import MLP
from gujax.models._resnet import ResNet

RATE = 0.4
PATHS = ("layers/1", "layers/2")


@pytest.fixture(scope="module")
def plain():
    model = models.from_module(lambda rngs: MLP((6, 5, 4, 3), rngs=rngs), (6,))
    return model, jax.jit(model.init)(jax.random.key(0))


def examples(size=4):
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (size, 6))
    return x, jax.random.randint(keys[1], (size,), 0, 3), jax.random.split(keys[2], size)


def dense_logits(params, x, masks, rate):
    """Textbook function in float64, with the features to keep before layers 1 and 2."""
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), params)["layers"]
    hidden = np.asarray(x, np.float64)
    for i in (0, 1, 2):
        if i:
            hidden = np.maximum(hidden, 0) * masks[i - 1] / (1 - rate)
        hidden = hidden @ weights[i]["kernel"] + weights[i]["bias"]
    return hidden


def masks_of(key):
    """The features that the model keeps: the later layer takes the first key."""
    later, earlier = jax.random.split(key, 2)
    return [
        np.asarray(jax.random.bernoulli(k, 1 - RATE, (1, size)))[0]
        for k, size in ((earlier, 5), (later, 4))
    ]


def test_a_sample_is_the_textbook_function(plain):
    model, params = plain
    dropped = defenses.insert_dropout(model, PATHS, RATE)
    x, _, keys = examples()
    for i in range(4):
        logits, divergence = dropped.sample(params, x[i], keys[i])
        expected = dense_logits(params, x[i], masks_of(keys[i]), RATE)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
        assert divergence == 0


def test_gradients_of_the_loss_are_those_of_the_dropped_network(plain):
    model, params = plain
    loss_fn = defenses.randomized_loss(defenses.insert_dropout(model, PATHS, RATE))
    batch = examples()
    grads = gujax.materialize(gujax.per_example_grads(loss_fn)(params, batch))
    x, y, keys = batch
    for i in range(4):
        (first, second), weights = masks_of(keys[i]), params["layers"]
        hidden = [np.asarray(x[i])]
        for layer, mask in ((0, first), (1, second)):
            z = hidden[-1] @ weights[layer]["kernel"] + weights[layer]["bias"]
            hidden.append(np.maximum(z, 0) * mask / (1 - RATE))
        logits = hidden[2] @ weights[2]["kernel"] + weights[2]["bias"]
        error = np.exp(logits) / np.exp(logits).sum() - np.eye(3)[int(y[i])]
        for layer in (2, 1, 0):
            found = grads["layers"][layer]
            np.testing.assert_allclose(
                found["kernel"][i], np.outer(hidden[layer], error), rtol=1e-4, atol=1e-6
            )
            np.testing.assert_allclose(found["bias"][i], error, rtol=1e-4, atol=1e-6)
            error = weights[layer]["kernel"] @ error * (hidden[layer] > 0) / (1 - RATE)


def test_evaluation_and_parameters_are_the_plain_models(plain):
    model, params = plain
    dropped = defenses.insert_dropout(model, "layers/1", RATE)
    x, _, keys = examples()
    jax.tree.map(np.testing.assert_array_equal, dropped.init(jax.random.key(0)), params)
    np.testing.assert_array_equal(dropped.apply(params, x), model.apply(params, x))
    nothing = defenses.insert_dropout(model, PATHS, 0.0)
    np.testing.assert_allclose(
        nothing.sample(params, x[0], keys[0])[0], model.apply(params, x[0]), rtol=1e-6
    )


def test_features_are_dropped_at_the_rate_and_keep_their_mean(plain):
    model, params = plain
    # All after the last layer's input is linear, so the mean over masks is the evaluation.
    dropped = defenses.insert_dropout(model, "layers/2", RATE)
    x, keys = examples()[0][0], jax.random.split(jax.random.key(2), 20_000)
    logits = np.asarray(jax.vmap(lambda k: dropped.sample(params, x, k)[0])(keys), np.float64)
    bound = stats.norm.isf(5e-7 / 3) * logits.std(axis=0) / np.sqrt(len(keys))
    assert np.all(np.abs(logits.mean(axis=0) - model.apply(params, x)) < bound)
    # Var Σ_j w_jk h_j m_j / (1 − rate) with m_j ~ Bernoulli(1 − rate).
    weights = params["layers"]
    hidden = np.maximum(np.asarray(x) @ weights[0]["kernel"] + weights[0]["bias"], 0)
    hidden = np.maximum(hidden @ weights[1]["kernel"] + weights[1]["bias"], 0)
    terms = hidden[:, None] * np.asarray(weights[2]["kernel"])
    np.testing.assert_allclose(
        logits.var(axis=0), (terms**2).sum(axis=0) * RATE / (1 - RATE), rtol=0.05
    )


def test_the_noise_can_be_averaged_by_an_attacker(plain):
    model, params = plain
    loss_fn = defenses.randomized_loss(defenses.insert_dropout(model, PATHS, RATE))
    gradient_fn = inversion.batch_gradient(loss_fn)
    x, y, _ = examples(2)
    key = jax.random.key(5)
    averaged = defenses.noise_averaged(gradient_fn, key, 2)(params, (x, y))
    draws = [gradient_fn(params, (x, y, k)) for k in jax.random.split(key, (2, 2))]
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(a, (b + c) / 2, rtol=1e-4, atol=1e-6),
        averaged,
        *draws,
    )


@pytest.mark.parametrize(
    ("make", "paths"),
    [
        (partial(LeNet, (8, 8, 2), 3, "relu"), ("convolutions/1", "head")),
        # A block and a layer within it: whichever is wrapped first must not hide the other.
        (lambda rngs: ResNet(2, 3, (8,), 1, rngs), ("blocks/0", "blocks/0/first", "head")),
    ],
)
def test_every_place_is_dropped_from(make, paths):
    model = models.from_module(make, (8, 8, 2))
    params = model.init(jax.random.key(0))
    x, key = jax.random.normal(jax.random.key(1), (8, 8, 2)), jax.random.key(2)
    for path in paths:
        alone = defenses.insert_dropout(model, path, RATE).sample(params, x, key)[0]
        assert not np.allclose(alone, model.apply(params, x))
    all_paths = defenses.insert_dropout(model, paths, RATE).sample(params, x, key)[0]
    assert jnp.all(jnp.isfinite(all_paths))
    reordered = defenses.insert_dropout(model, paths[::-1], RATE).sample(params, x, key)[0]
    np.testing.assert_array_equal(all_paths, reordered)


@pytest.mark.parametrize(
    ("before", "rate", "message"),
    [
        ("head", RATE, "before='head' is no layer.*layers/0, layers/1, layers/2"),
        (("layers/1", "layers/9"), RATE, "before='layers/9' is no layer"),
        ((), RATE, "before names no layer"),
        ("layers/1", 1.0, r"rate=1.0 must be at least 0 and below 1"),
        ("layers/1", -0.1, r"rate=-0.1 must be"),
    ],
)
def test_wrong_arguments(plain, before, rate, message):
    with pytest.raises(ValueError, match=message):
        defenses.insert_dropout(plain[0], before, rate)


def test_a_model_without_a_module():
    model = models.Model(init=lambda key: (), apply=lambda params, x: x)
    with pytest.raises(ValueError, match="model has no module"):
        defenses.insert_dropout(model, "head", RATE)
