import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gujax
from gujax import models, training, transforms
from gujax.data import Split
from gujax.training import ShiftAndFlip, augmented_loss

IMAGE = np.arange(5 * 6 * 2, dtype=np.float32).reshape(5, 6, 2)


def copies_by_hand(shift, flip):
    """Every copy that may come out, as bytes."""
    padded = np.pad(IMAGE, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    shifted = [
        padded[top : top + 5, left : left + 6]
        for top in range(2 * shift + 1)
        for left in range(2 * shift + 1)
    ]
    return {copy.tobytes() for copy in shifted + ([c[:, ::-1] for c in shifted] if flip else [])}


@pytest.mark.parametrize(("shift", "flip"), [(0, True), (1, False), (2, True)])
def test_copies_are_all_shifts_and_reflections_and_nothing_else(shift, flip):
    keys = jax.random.split(jax.random.key(0), 1500)
    made = np.asarray(jax.jit(jax.vmap(ShiftAndFlip(shift, flip), (0, None)))(keys, IMAGE))
    counts = dict.fromkeys(copies_by_hand(shift, flip), 0)
    for copy in made:
        counts[copy.tobytes()] += 1  # a KeyError is a copy that should not be
    # Equally likely: every count lies within five standard deviations of its mean.
    expected = 1500 / len(counts)
    assert all(abs(count - expected) < 5 * np.sqrt(expected) for count in counts.values())


MODEL = models.mlp((4, 3, 1), 3, hidden=())
LOSS = training.cross_entropy_loss(MODEL)
AUGMENT = ShiftAndFlip(1, True)


def test_the_gradient_of_an_example_is_the_mean_over_its_copies():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 4, 3, 1)).astype(np.float32), np.array([0, 1, 2, 0])
    keys = jax.random.split(jax.random.key(1), 4)
    params = {"layers": {0: {"kernel": rng.normal(size=(12, 3)), "bias": np.zeros(3)}}}
    params = jax.tree.map(jnp.float32, params)
    loss = augmented_loss(LOSS, AUGMENT, 3)
    grads = jax.jit(lambda *a: gujax.materialize(gujax.per_example_grads(loss)(*a)))(
        params, (x, y, keys)
    )
    kernel = params["layers"][0]["kernel"]
    for i in range(4):
        copies = [np.ravel(AUGMENT(key, x[i])) for key in jax.random.split(keys[i], 3)]
        # Softmax regression: the gradient is x (p - e_y)ᵀ.
        by_copy = [np.outer(c, jax.nn.softmax(c @ kernel) - np.eye(3)[y[i]]) for c in copies]
        np.testing.assert_allclose(
            grads["layers"][0]["kernel"][i], np.mean(by_copy, axis=0), atol=1e-5
        )


def test_every_step_draws_new_copies():
    """Without its key an example would have the same copies, and so the same loss, in each step."""
    x = np.zeros((1, 4, 3, 1))
    x[0, 1, 0] = 1.0
    optimizer = optax.chain(transforms.mean(batch_size=1), optax.sgd(0.0))
    trained = training.train(
        augmented_loss(LOSS, AUGMENT, 1),
        MODEL.init(jax.random.key(0)),
        Split.from_arrays(x, np.zeros(1)),
        optimizer,
        batch_size=1,
        epochs=8,
        key=jax.random.key(1),
        randomized=True,
    )
    assert len(np.unique(trained.steps.loss)) > 2


def test_the_same_loss_has_the_same_augmented_loss():
    assert augmented_loss(LOSS, ShiftAndFlip(1, True), 2) is augmented_loss(LOSS, AUGMENT, 2)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="multiplicity"):
        augmented_loss(LOSS, AUGMENT, 0)
    with pytest.raises(ValueError, match="only images"):
        AUGMENT(jax.random.key(0), jnp.zeros(6))
