import jax
import numpy as np

import gujax
from gujax import models, training

MODEL = models.convnet((4, 4, 3), 4, channels=(8,))
PARAMS = MODEL.init(jax.random.key(0))
X = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)


def by_hand(leaf):
    """Kernels [h, w, in, out] standardized with numpy; other leaves as they are."""
    if leaf.ndim < 4:
        return leaf
    flat = np.asarray(leaf, np.float64).reshape(-1, leaf.shape[-1])
    flat = (flat - flat.mean(axis=0)) / flat.std(axis=0) / np.sqrt(len(flat))
    return flat.reshape(leaf.shape).astype(np.float32)


def test_is_the_model_with_standardized_kernels():
    expected = MODEL.apply(jax.tree.map(by_hand, PARAMS), X)
    logits = models.standardized(MODEL).apply(PARAMS, X)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert not np.allclose(logits, MODEL.apply(PARAMS, X), atol=1e-2)


def test_a_model_without_convolutions_is_unchanged():
    mlp = models.mlp((4, 4, 3), 4, (6,))
    params = mlp.init(jax.random.key(0))
    np.testing.assert_array_equal(models.standardized(mlp).apply(params, X), mlp.apply(params, X))


def test_per_example_gradients_go_through_it():
    loss = training.cross_entropy_loss(models.standardized(MODEL))
    batch = (X, np.arange(5) % 4)
    grads = jax.jit(lambda *a: gujax.materialize(gujax.per_example_grads(loss)(*a)))(PARAMS, batch)
    # A shift or a scale of a whole channel changes nothing, so its gradient is orthogonal to both.
    for leaf, kernel in zip(jax.tree.leaves(grads), jax.tree.leaves(PARAMS)):
        if kernel.ndim == 4:
            axes = (1, 2, 3)
            np.testing.assert_allclose(leaf.sum(axes), 0, atol=1e-5)
            np.testing.assert_allclose((leaf * kernel).sum(axes), 0, atol=1e-5)
