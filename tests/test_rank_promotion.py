"""Everything works where JAX refuses to broadcast arrays of different ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gujax
from gujax import leakage, models, training, transforms
from gujax.attacks import inversion

MODEL = models.mlp((4,), 3, hidden=(5,))
PARAMS = MODEL.init(jax.random.key(7))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
TABLE = RNG.normal(size=(9, 4)).astype(np.float32)
MANY = RNG.normal(size=(60, 4)).astype(np.float32)
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


def informative(representations, attribute, *family):
    found = leakage.v_information(representations, attribute, *family, num_folds=3)
    return found["x"].pointwise


USES = {
    "gram": lambda: gujax.gram(grads()),
    "embedding": lambda: gujax.gram(gujax.per_example_grads(looked_up)(TABLE, Y[:, None])),
    "sketch": lambda: gujax.sketch(grads(), jax.random.key(0), 8),
    "pseudo-inverse": lambda: gujax.uniqueness(SMALL, 0.0),
    "uniqueness": lambda: gujax.uniqueness(SMALL, 0.1),
    "diagonal": lambda: gujax.diagonal_uniqueness(grads(), 0.1),
    "disclosure": lambda: gujax.disclosure_bound(np.array([0.1, 5.0, 100.0]), 0.3),
    "information": lambda: gujax.binary_information(np.array([[0.1], [5.0]]), 0.3),
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
    "v_information": lambda: informative({"x": MANY}, MANY[:, 0] > 0),
    "of a number": lambda: informative({"x": MANY}, MANY[:, 0]),
    "mlp": lambda: informative({"x": MANY}, MANY[:, 0] > 0, leakage.mlp(4)),
    "count_labels": lambda: inversion.count_labels(jnp.array([0.1, -0.2, 0.1]), 4),
    "predict": lambda: training.predict(MODEL.apply, PARAMS, X),
}


@pytest.mark.parametrize("name", USES)
def test_nothing_is_refused(name):
    with jax.numpy_rank_promotion("raise"):  # refuses, and changes no number
        USES[name]()
