"""GNQ of whole data sets against dense gradients in float64."""

import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import spearmanr

import gujax
from gujax import data, models, training, transforms
from gujax.uniqueness import _dataset as dataset
from tests.data.prepared import prepared_folder

KEY = jax.random.key(0)
COUNT = 300


def loss_fn(params, example):
    x, y = example
    logits = jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 24)) / np.sqrt(1 + np.arange(24))
    params = {
        "w1": rng.normal(size=(24, 40)) / 3,
        "b1": rng.normal(size=40),
        "w2": rng.normal(size=(40, 5)),
    }
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)
    return params, (x.astype(np.float32), rng.integers(0, 5, COUNT).astype(np.int32))


@pytest.fixture(scope="module")
def gram(problem):
    """In float64, from float32 gradients by JAX alone."""
    dense = jax.vmap(jax.grad(loss_fn), (None, 0))(*problem)
    G = np.concatenate([np.reshape(leaf, (COUNT, -1)) for leaf in jax.tree.leaves(dense)], axis=1)
    return G.astype(np.float64) @ G.T.astype(np.float64)


def exact(gram, ridge):
    complement = ridge * np.diag(np.linalg.inv(gram + ridge * np.eye(len(gram))))
    return (1 - complement) / complement


def test_within_its_standard_errors(problem, gram):
    asked = 0.1 * np.mean(np.diag(gram))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = gujax.dataset_uniqueness(
            loss_fn, *problem, key=KEY, microbatch_size=64, sketch_size=200, relative_ridge=0.1
        )
    np.testing.assert_allclose(result.ridge, asked, rtol=0.01)
    truth = exact(gram, asked)
    z = (result.gnq - truth) / result.standard_error
    assert np.mean(np.abs(z) < 1.96) > 0.9
    assert np.median(result.standard_error / truth) < 0.2
    assert spearmanr(result.gnq, truth).statistic > 0.97


def test_a_small_data_set_gets_the_exact_result(problem, gram):
    result = gujax.dataset_uniqueness(
        loss_fn, *problem, key=KEY, microbatch_size=64, ridge=0.05, relative_ridge=0.1
    )
    ridge = 0.05 + 0.1 * np.mean(np.diag(gram))
    np.testing.assert_allclose(result.ridge, ridge, rtol=1e-5)
    np.testing.assert_allclose(result.gnq, exact(gram, ridge), rtol=1e-3)
    np.testing.assert_array_equal(result.standard_error, 0)
    h = exact(gram, ridge) / (1 + exact(gram, ridge))
    np.testing.assert_allclose(result.effective_dimension, h.sum(), rtol=1e-4)


@pytest.mark.parametrize(("relative_ridge", "blocks"), [(10.0, 1), (3.0, 2)])
def test_the_smallest_sketch_that_will_do(problem, monkeypatch, relative_ridge, blocks):
    monkeypatch.setattr(dataset, "SKETCH_SIZES", (32, 64, 128))
    calls = []
    result = gujax.dataset_uniqueness(
        loss_fn,
        *problem,
        key=KEY,
        microbatch_size=COUNT,
        relative_ridge=relative_ridge,
        callback=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(COUNT, COUNT)] * blocks
    assert 0 < result.effective_dimension <= 0.9 * 32 * 2 ** (blocks - 1)
    assert np.all(result.standard_error > 0)


def test_blocks_do_not_matter(problem):
    def run(microbatch_size):
        calls = []
        result = gujax.dataset_uniqueness(
            loss_fn,
            *problem,
            key=KEY,
            microbatch_size=microbatch_size,
            sketch_size=64,
            relative_ridge=3.0,
            callback=lambda done, total: calls.append((done, total)),
        )
        return result, calls

    in_blocks, calls = run(128)
    assert calls == [(128, COUNT), (256, COUNT), (COUNT, COUNT)]
    whole, calls = run(10 * COUNT)
    assert calls == [(COUNT, COUNT)]
    np.testing.assert_allclose(in_blocks.gnq, whole.gnq, rtol=1e-3)


def test_a_sketch_too_small_for_the_ridge_warns(problem, gram):
    with pytest.warns(UserWarning, match="pass a larger sketch_size or ridge"):
        result = gujax.dataset_uniqueness(
            loss_fn, *problem, key=KEY, microbatch_size=COUNT, sketch_size=32, relative_ridge=0.01
        )
    ridge = float(result.ridge)
    assert ridge > 0.02 * np.mean(np.diag(gram))
    z = (result.gnq - exact(gram, ridge)) / result.standard_error
    assert np.mean(np.abs(z) < 1.96) > 0.85


def test_no_gradient_at_all(problem):
    params, (x, y) = problem
    result = gujax.dataset_uniqueness(
        lambda params, example: 0.0 * loss_fn(params, example),
        params,
        (x, y),
        key=KEY,
        microbatch_size=COUNT,
        sketch_size=32,
        relative_ridge=0.1,
    )
    np.testing.assert_array_equal(result.gnq, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": 0.0}, "one of them positive"),
        ({"ridge": -1.0}, "ridge must be at least 0"),
        ({"relative_ridge": -1.0}, "relative_ridge must be at least 0"),
        ({"ridge": 1.0, "microbatch_size": 0}, "microbatch_size must be greater than 0"),
        ({"ridge": 1.0, "sketch_size": 0}, "sketch_size must be greater than 0"),
    ],
)
def test_errors(problem, options, message):
    with pytest.raises(ValueError, match=message):
        gujax.dataset_uniqueness(loss_fn, *problem, **{"key": KEY, "microbatch_size": 8} | options)


def test_data_that_cannot_be_used(problem):
    params, (x, y) = problem
    options = {"key": KEY, "microbatch_size": COUNT, "sketch_size": 32, "ridge": 1.0}
    with pytest.raises(ValueError, match="same leading axis"):
        gujax.dataset_uniqueness(loss_fn, params, (x, y[:-1]), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("options", [{"sketch_size": 32, "ridge": 1.0}, {"relative_ridge": 0.1}])
def test_gradients_that_are_not_finite(problem, value, options):
    """Also where the whole Gram matrix is taken, in which one would make all GNQ NaN."""
    params, (x, y) = problem
    x = np.where(np.arange(COUNT)[:, None] == 7, np.float32(value), x)
    with pytest.raises(ValueError, match=r"^data has 1 examples .* the first is example 7"):
        gujax.dataset_uniqueness(loss_fn, params, (x, y), key=KEY, microbatch_size=COUNT, **options)


def test_the_key_is_required(problem):
    with pytest.raises(TypeError, match="key"):
        gujax.dataset_uniqueness(loss_fn, *problem, microbatch_size=COUNT, ridge=1.0)


@pytest.mark.long
@pytest.mark.parametrize(("epochs", "size"), [(0, 2048), (5, 1024)])
@pytest.mark.filterwarnings("ignore:a sketch of size")
def test_mnist(monkeypatch, epochs, size):
    """An MLP 784-256-128-10 at the start and after training; `-s` shows the times."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_folder("mnist10k")))
    train = data.load("mnist10k").train
    model = models.mlp((28, 28, 1), 10, hidden=(256, 128))
    loss = training.cross_entropy_loss(model)
    params = model.init(jax.random.key(0))
    if epochs:
        optimizer = optax.chain(transforms.mean(batch_size=64), optax.adam(1e-3))
        params = training.train(
            loss, params, train, optimizer, batch_size=64, epochs=epochs, key=KEY
        ).params

    def sketched(count):
        return gujax.dataset_uniqueness(
            loss,
            params,
            (train.x[:count], train.y[:count]),
            key=KEY,
            microbatch_size=500,
            sketch_size=size,
            relative_ridge=0.1,
        )

    @jax.jit
    def exact_gnq(params, examples):
        grads = gujax.per_example_grads(loss, microbatch_size=500)(params, examples)
        return gujax.uniqueness(gujax.gram(grads), relative_ridge=0.1)

    for count in (2000, 8000):
        examples = (train.x[:count], train.y[:count])
        sketched(count)  # compiled now
        start = time.perf_counter()
        result = jax.block_until_ready(sketched(count))
        middle = time.perf_counter()
        truth = np.asarray(exact_gnq(params, examples))
        end = time.perf_counter()
        rank = spearmanr(result.gnq, truth).statistic
        inside = np.mean(np.abs(result.gnq - truth) < 1.96 * result.standard_error)
        print(
            f"{epochs} epochs, N={count}, k={size}: d={float(result.effective_dimension):.0f}, "
            f"Spearman {rank:.4f}, within 1.96 standard errors {inside:.3f}, "
            f"sketch {middle - start:.1f} s, exact {end - middle:.1f} s (compiling included)"
        )
        assert rank > 0.95
        # At the start, the sketch cannot stand for this ridge: d is 4,600 for all 8,000 examples.
        assert epochs == 0 or inside > 0.92
