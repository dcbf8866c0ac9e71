"""PRNG keys of both kinds, `jax.random.key` and `jax.random.PRNGKey`, draw the same everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gujax
from gujax import defenses, leakage, models, training, transforms
from gujax.attacks import inversion
from gujax.data import Split

MODEL = models.mlp((4,), 3, hidden=(5,))
LOSS = training.cross_entropy_loss(MODEL)
PARAMS = MODEL.init(jax.random.key(7))
X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
SPLIT = Split.from_arrays(X, Y)
GRADS = gujax.per_example_grads(LOSS)(PARAMS, (X, Y))
GRADIENT = training.batch_gradient(LOSS)
ATTACK = inversion.inverting_gradients(2, limits=None, total_variation_weight=0, num_restarts=2)
DROPPED = defenses.insert_dropout(MODEL, "layers/1", 0.5)
BOTTLENECKED = defenses.insert_bottleneck(MODEL, "layers/1", defenses.linear(2))
SHAPES = {
    "a": jax.ShapeDtypeStruct((2, 3), np.float32),
    "b": jax.ShapeDtypeStruct((2,), np.float32),
}


def squared(params, example):
    return jnp.sum(example[0] * params)


def mean(key):
    return optax.chain(transforms.mean(batch_size=4), optax.sgd(0.1))


def noisy(key):
    return optax.chain(transforms.dp_sgd(1.0, 1.0, 4, key, batch_size=4), optax.sgd(0.1))


def train(key, **changes):
    arguments = {"loss_fn": LOSS, "params": PARAMS, "optimizer": mean(key)} | changes
    arguments = {"batch_size": 4, "epochs": 2} | arguments
    return training.train(split=SPLIT, key=key, **arguments)


def train_poisson(key):
    plan = training.plan_batches(12, 4, 2, "poisson")
    optimizer = transforms.dp_sgd(1.0, 1.0, 4, key, batch_size=plan.physical_size)
    return train(key, sampling="poisson", optimizer=optax.chain(optimizer, optax.sgd(0.1)))


def train_many(key):
    keys = jax.random.split(key, 2)
    params = jax.vmap(MODEL.init)(keys)
    masks = training.random_halves(key, 2, 12)
    return training.train_many(
        LOSS,
        params,
        SPLIT,
        noisy,
        member_masks=masks,
        keys=keys,
        batch_size=4,
        epochs=2,
    )


def update(make):
    def run(key):
        transform = make(key)
        state = transform.init(PARAMS)
        gradient = PARAMS if make is not noisy else jax.tree.map(lambda g: g[:4], DENSE)
        for _ in range(2):
            updates, state = transform.update(gradient, state, PARAMS)
        return updates

    return run


DENSE = gujax.materialize(GRADS)


def invert(key):
    shared = GRADIENT(PARAMS, (X[:2], Y[:2]))
    like = jax.ShapeDtypeStruct((2, 4), np.float32)
    return inversion.invert(ATTACK, GRADIENT, PARAMS, shared, key, inputs_like=like, num_classes=3)


def averaged(of):
    def run(key):
        gradient = of(defenses.randomized_loss(DROPPED))
        return jax.jit(defenses.noise_averaged(gradient, key, 3))(PARAMS, (X[:2], Y[:2]))

    return run


TAKERS = {
    "train poisson": train_poisson,
    "train randomized": lambda key: train(
        key, loss_fn=defenses.randomized_loss(DROPPED), randomized=True
    ),
    "train_many": train_many,
    "random_halves": lambda key: training.random_halves(key, 4, 12),
    "augmented_loss": lambda key: training.augmented_loss(
        squared, training.ShiftAndFlip(2, flip=True), multiplicity=3
    )(jnp.arange(48.0).reshape(4, 4, 3), (jnp.asarray(X).reshape(4, 4, 3), 0, key)),
    "init": MODEL.init,
    "init of many": lambda key: jax.vmap(MODEL.init)(jax.random.split(key, 3)),
    "dataset_uniqueness": lambda key: gujax.dataset_uniqueness(
        LOSS,
        PARAMS,
        (X, Y),
        key=key,
        microbatch_size=5,
        sketch_size=8,
        ridge=10.0,
    ),
    "dp_sgd": update(noisy),
    "gaussian_noise": update(lambda key: defenses.gaussian_noise(0.1, key)),
    "laplacian_noise": update(lambda key: defenses.laplacian_noise(0.1, key)),
    "noise_averaged": averaged(training.batch_gradient),
    "noise_averaged of any function": averaged(
        lambda loss: lambda p, e: training.batch_gradient(loss)(p, e)
    ),
    "reparameterize": lambda key: defenses.reparameterize(key, X, X**2),
    "bottleneck": lambda key: BOTTLENECKED.sample(BOTTLENECKED.init(jax.random.key(0)), X[0], key),
    "dropout": lambda key: DROPPED.sample(PARAMS, X[0], key),
    "input_sensitivity": lambda key: leakage.input_sensitivity(
        LOSS, PARAMS, (X[:3], Y[:3]), num_probes=2, key=key
    ),
    "invert": invert,
    "standard_normal": lambda key: inversion.standard_normal(key, SHAPES),
    "uniform": lambda key: inversion.uniform(key, SHAPES),
}


def numbers(tree):
    leaves = jax.tree.leaves(tree)
    is_key = lambda x: jax.dtypes.issubdtype(getattr(x, "dtype", int), jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in leaves]


@pytest.mark.parametrize("name", TAKERS)
def test_both_kinds_draw_the_same(name):
    expected = numbers(TAKERS[name](jax.random.key(3)))
    found = numbers(TAKERS[name](jax.random.PRNGKey(3)))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (0, "needed is a PRNG key"),
        (jnp.uint32(3), "needed is a PRNG key"),
        (jax.random.split(jax.random.key(0)), r"keys of shape \(2,\), expected \(\)"),
        (jax.random.split(jax.random.PRNGKey(0)), r"keys of shape \(2,\), expected \(\)"),
    ],
)
def test_one_key_is_needed(key, message):
    with pytest.raises(ValueError, match=f"^key .*{message}"):
        train(key, optimizer=mean(None))
    with pytest.raises(ValueError, match=f"^key .*{message}"):
        defenses.noise_averaged(GRADIENT, key)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_one_key_per_model_is_needed(make):
    for keys in (make(0), jax.random.split(make(0), 3)):
        with pytest.raises(ValueError, match=r"^keys holds keys of shape"):
            training.train_many(
                LOSS,
                jax.vmap(MODEL.init)(jax.random.split(make(0), 2)),
                SPLIT,
                mean,
                member_masks=np.ones((2, 12), bool),
                keys=keys,
                batch_size=4,
                epochs=1,
            )
