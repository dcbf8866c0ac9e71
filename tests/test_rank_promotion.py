"""Everything works where JAX refuses to broadcast arrays of different ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gujax
from gujax import leakage, models, training, transforms, uniqueness
from gujax.attacks import inversion

MODEL = models.mlp((4,), 3, hidden=(5,))
PARAMS = MODEL.init(jax.random.key(7))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
TABLE = RNG.normal(size=(9, 4)).astype(np.float32)
SMALL = X[:, :2] @ X[:, :2].T + 0.0  # of rank 2


def loss(params, example):
    x, y = example
    return -jax.nn.log_softmax(MODEL.apply(params, x))[y]


def looked_up(table, tokens):
    return jnp.sum(jnp.tanh(table[tokens] @ table.T) ** 2)


def grads():
    return gujax.per_example_grads(loss)(PARAMS, (X, Y))


def update(transform):
    return transform.update(grads(), transform.init(PARAMS), PARAMS, example_ids=jnp.arange(12))[0]


USES = {
    "gram": lambda: gujax.gram(grads()),
    "embedding": lambda: gujax.gram(gujax.per_example_grads(looked_up)(TABLE, Y[:, None])),
    "sketch": lambda: gujax.sketch(grads(), jax.random.key(0), 8),
    "pseudo-inverse": lambda: uniqueness.uniqueness(SMALL, 0.0),
    "uniqueness": lambda: uniqueness.uniqueness(SMALL, 0.1),
    "diagonal": lambda: uniqueness.diagonal_uniqueness(grads()),
    "disclosure": lambda: uniqueness.disclosure_bound(np.array([0.1, 5.0, 100.0]), 0.3),
    "information": lambda: uniqueness.binary_information(np.array([[0.1], [5.0]]), 0.3),
    "dataset": lambda: (
        gujax.dataset_uniqueness(
            loss,
            PARAMS,
            (X, Y),
            key=jax.random.key(0),
            microbatch_size=5,
            sketch_size=8,
            ridge=10.0,
        ).gnq
    ),
    "clip": lambda: update(transforms.uniqueness_clip(0.1, relative_ridge=0.1, num_examples=12)),
    "dp_sgd": lambda: update(transforms.dp_sgd(1.0, 1.0, 4, jax.random.key(0), num_examples=12)),
    "v_information": lambda: leakage.v_information(X, Y > 0, num_folds=3).pointwise,
    "of a number": lambda: leakage.v_information(X, X[:, 0], num_folds=3).pointwise,
    "mlp": lambda: leakage.v_information(X, Y > 0, leakage.mlp(4), num_folds=3).pointwise,
    "count_labels": lambda: inversion.count_labels(jnp.array([0.1, -0.2, 0.1]), 4),
    "predict": lambda: training.predict(MODEL.apply, PARAMS, X),
}


@pytest.mark.parametrize("name", USES)
def test_the_same_numbers(name):
    expected = USES[name]()
    with jax.numpy_rank_promotion("raise"):
        found = USES[name]()
    jax.tree.map(np.testing.assert_array_equal, found, expected)
