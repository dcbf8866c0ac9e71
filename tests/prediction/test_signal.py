import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import gujax


def test_log_odds():
    logits = np.random.default_rng(0).normal(size=(7, 5)) * 3
    label = np.arange(7) % 5
    p = scipy.special.softmax(logits, axis=-1)[np.arange(7), label]
    with jax.enable_x64(True):
        np.testing.assert_allclose(gujax.signal(logits, label), np.log(p / (1 - p)), rtol=1e-10)


def test_cross_entropy_is_a_function_of_it():
    logits = jnp.array([[1.0, -2.0, 0.5], [5.0, 1.0, 2.0]])
    label = jnp.array([2, 0])
    loss = -jax.nn.log_softmax(logits)[jnp.arange(2), label]
    np.testing.assert_allclose(jax.nn.softplus(-gujax.signal(logits, label)), loss, rtol=1e-5)


@pytest.mark.parametrize("margin", [0.0, 20.0, 1e4, 1e30, -1e30])
@pytest.mark.parametrize("classes", [2, 10])
def test_value_and_gradient_are_finite_where_p_rounds_to_0_or_1(margin, classes):
    logits = jnp.zeros(classes).at[1].set(margin)
    value, slope = jax.value_and_grad(gujax.signal)(logits, 1)
    assert np.isfinite(value)
    np.testing.assert_allclose(slope[1], 1)
    np.testing.assert_allclose(jnp.sum(slope), 0, atol=1e-6)


def test_half_precision_is_computed_in_float32():
    assert gujax.signal(jnp.zeros((2, 3), jnp.bfloat16), jnp.zeros(2, int)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("logits", "label", "message"),
    [
        (np.zeros((3, 4)), np.zeros((3, 4)), "one-hot"),
        (np.zeros((3, 4)), np.zeros(2, int), "one class per example"),
        (np.zeros((3, 4)), np.zeros(3), "integers from 0 to 3"),
        (np.zeros((3, 4)), np.array([0, 4, 1]), "holds 4"),
        (np.zeros((3, 4)), np.array([0, -1, 1]), "holds -1"),
        (np.zeros((3, 1)), np.zeros(3, int), "2 classes or more"),
    ],
)
def test_what_is_no_label(logits, label, message):
    with pytest.raises(ValueError, match=message):
        gujax.signal(logits, label)
