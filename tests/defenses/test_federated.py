import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import defenses
from gujax.attacks import inversion


def loss_fn(params, example):
    x, y = example
    return (jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2


GRADIENT = inversion.batch_gradient(loss_fn)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def problem():
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(3, 4)), "v": rng.normal(size=4)}
    return jax.tree.map(jnp.asarray, (params, (rng.normal(size=(6, 3)), rng.normal(size=6))))


def assert_close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), found, expected
    )


def sgd(params, examples, learning_rate, batch_size, epochs):
    """Gradients by hand, in numpy."""
    w, v = (np.asarray(params[name], np.float64) for name in ("w", "v"))
    x, y = (np.asarray(a, np.float64) for a in examples)
    start = {"w": w, "v": v}
    for _ in range(epochs):
        for first in range(0, len(x), batch_size):
            rows = slice(first, first + batch_size)
            hidden = np.tanh(x[rows] @ w)
            error = 2 * (hidden @ v - y[rows]) / batch_size
            dv = hidden.T @ error
            dw = x[rows].T @ (np.outer(error, v) * (1 - hidden**2))
            w, v = w - learning_rate * dw, v - learning_rate * dv
    return {"w": start["w"] - w, "v": start["v"] - v}


def test_one_step_is_the_scaled_gradient():
    params, examples = problem()
    found = defenses.local_steps(GRADIENT, 0.1)(params, examples)
    assert_close(found, jax.tree.map(lambda g: 0.1 * g, GRADIENT(params, examples)))


@pytest.mark.parametrize(("batch_size", "epochs"), [(6, 3), (2, 1), (3, 2), (1, 2)])
def test_several_steps_are_those_of_sgd(batch_size, epochs):
    params, examples = problem()
    update_fn = defenses.local_steps(GRADIENT, 0.05, batch_size=batch_size, epochs=epochs)
    assert_close(update_fn(params, examples), sgd(params, examples, 0.05, batch_size, epochs))


def test_can_be_differentiated_in_the_inputs():
    # What an attack needs; against central differences of the steps by hand.
    params, (x, y) = problem()
    update_fn = defenses.local_steps(GRADIENT, 0.05, batch_size=3, epochs=2)
    found = jax.grad(lambda x: update_fn(params, (x, y))["w"].sum())(x)
    for index in ((0, 1), (5, 2)):
        shift = np.zeros((6, 3))
        shift[index] = 1e-5
        above, below = (sgd(params, (x + s, y), 0.05, 3, 2)["w"].sum() for s in (shift, -shift))
        np.testing.assert_allclose(found[index], (above - below) / 2e-5, rtol=1e-6)


def test_keys_may_be_part_of_the_examples():
    def noisy(params, example):
        x, y, key = example
        return loss_fn(params, (x, y + jax.random.normal(key)))

    params, (x, y) = problem()
    keys = jax.random.split(jax.random.key(0), 6)
    update_fn = defenses.local_steps(inversion.batch_gradient(noisy), 0.05, batch_size=2)
    noise = jax.vmap(jax.random.normal)(keys)
    assert_close(update_fn(params, (x, y, keys)), sgd(params, (x, y + noise), 0.05, 2, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"learning_rate": 0.1, "batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"learning_rate": 0.1, "epochs": 0}, "epochs=0 must be at least 1"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        defenses.local_steps(GRADIENT, **options)


def test_batches_that_do_not_divide():
    with pytest.raises(ValueError, match="batch_size=4 must divide the 6 examples"):
        defenses.local_steps(GRADIENT, 0.1, batch_size=4)(*problem())
