import jax.numpy as jnp
import numpy as np
import pytest

from gujax.gradients import per_example_grads
from gujax.uniqueness import diagonal_uniqueness


def gradients(seed=0, batch=7):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(batch, 3)).astype(np.float32)
    params = {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), "b": jnp.ones(2)}

    def loss(params, x):
        return jnp.sum(jnp.tanh(x @ params["w"] + params["b"]))

    slope = 1 - np.tanh(inputs @ np.asarray(params["w"]) + 1) ** 2
    dense = np.concatenate([slope, (inputs[:, :, None] * slope[:, None, :]).reshape(batch, -1)], 1)
    return per_example_grads(loss)(params, jnp.asarray(inputs)), dense


def by_definition(dense, epsilon):
    squares = dense.astype(np.float64) ** 2
    return np.array(
        [
            (squares[j] / (np.delete(squares, j, 0).sum(0) + epsilon)).sum()
            for j in range(len(squares))
        ]
    )


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 1.0])
def test_definition(epsilon):
    grads, dense = gradients()
    np.testing.assert_allclose(
        diagonal_uniqueness(grads, epsilon), by_definition(dense, epsilon), rtol=1e-4
    )


def test_padding():
    grads, dense = gradients()
    mask = np.array([1, 1, 0, 1, 0, 1, 1], bool)
    estimate = diagonal_uniqueness(grads, 0.1, mask=jnp.asarray(mask))
    np.testing.assert_allclose(estimate[mask], by_definition(dense[mask], 0.1), rtol=1e-4)
    np.testing.assert_array_equal(estimate[~mask], 0)


def test_one_example_that_dominates():
    # 1e10 - 1e10 in float32 would leave nothing of the others' 2.
    grads = jnp.array([[1e5], [1.0], [1.0]])
    np.testing.assert_allclose(diagonal_uniqueness(grads, 0.0), [5e9, 1e-10, 1e-10], rtol=1e-5)


def test_coordinates_that_belong_to_one_example_or_to_none():
    grads = jnp.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    np.testing.assert_array_equal(diagonal_uniqueness(grads, 0.0), [np.inf, 1, 1])


def test_negative_epsilon():
    with pytest.raises(ValueError, match="epsilon must be at least 0"):
        diagonal_uniqueness(jnp.ones((2, 2)), -1.0)
