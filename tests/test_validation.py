import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.validation import (
    as_float,
    check_no_nan,
    check_nonnegative,
    check_positive,
    check_probability,
    is_concrete,
)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (check_positive, (1, 0.5, np.float32(2), jnp.ones(3), np.inf), (0, -1.0, np.nan)),
        (check_nonnegative, (0, 1.0, jnp.zeros(3), np.inf), (-1e-9, np.nan, -np.inf)),
        (check_probability, (0.5, np.array([0.1, 0.9])), (0, 1, 1.5, -0.1, np.nan)),
    ],
)
def test_concrete_values(check, good, bad):
    for value in good:
        check("setting", value)
    for value in bad:
        for form in (value, np.asarray(value), jnp.asarray(value, jnp.float32)):
            with pytest.raises(ValueError, match="setting must"):
                check("setting", form)


def test_closed_interval():
    check_probability("fpr", np.array([0.0, 1.0]), open=False)
    with pytest.raises(ValueError, match=r"fpr must lie between 0 and 1, got 1\.5"):
        check_probability("fpr", 1.5, open=False)


def test_message_names_value_and_place():
    with pytest.raises(ValueError, match=r"rate must be greater than 0, got -3"):
        check_positive("rate", -3)
    with pytest.raises(ValueError, match=r"got -2.0 at rate\[1, 0\]"):
        check_positive("rate", np.array([[1.0, 1.0], [-2.0, 1.0]]))


def test_no_nan():
    check_no_nan("K", jnp.array([1.0, jnp.inf]), "mask it")
    with pytest.raises(ValueError, match="K has 2 NaN entries; mask it"):
        check_no_nan("K", jnp.array([jnp.nan, 1.0, jnp.nan]), "mask it")


def test_traced_values_pass():
    @jax.jit
    def function(x):
        assert not is_concrete(x)
        check_positive("x", x)
        check_nonnegative("x", x)
        check_probability("x", x)
        check_no_nan("x", x, "")
        return x

    assert function(-1.0) == -1.0
    assert is_concrete(jnp.ones(2))


def test_as_float():
    assert as_float(3).dtype == jnp.float32
    assert as_float(jnp.ones(2, jnp.bfloat16)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert as_float(np.ones(2)).dtype == jnp.float64
