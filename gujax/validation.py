"""Checks of argument values that name the argument, its value and the remedy.

A traced value (inside ``jit``, ``vmap`` or ``grad``) has no value to check yet: every function
here but those of labels returns silently for it, and the function that called documents what
happens instead.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Int

_LARGEST = np.iinfo(np.int32).max


def is_concrete(value: Any) -> bool:
    """Whether ``value`` can be looked at now, that is, whether it is not a traced array."""
    return not isinstance(value, jax.core.Tracer)


def as_float(value: ArrayLike) -> jax.Array:
    """``value`` as an array of at least float32 (integers become float32 too)."""
    array = jnp.asarray(value)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def typed_keys(name: str, keys: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """PRNG keys of either kind as those of `jax.random.key`, which are arrays without an own axis.

    Args:
        name: the argument's name, for the message.
        keys: of `jax.random.key`, or the numbers of `jax.random.PRNGKey`, [*shape, numbers]; they
            draw the same.
        shape: how many keys there must be.

    Raises:
        ValueError: if these are no keys, or not so many.
    """
    keys = jnp.asarray(keys)
    if not jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key):
        if keys.dtype != jnp.uint32 or not keys.ndim:
            raise ValueError(
                f"{name} has type {keys.dtype} and shape {keys.shape}, needed is a PRNG key: pass "
                f"jax.random.key(0), or jax.random.split of it for more than one"
            )
        keys = jax.random.wrap_key_data(keys)
    if keys.shape != shape:
        raise ValueError(f"{name} holds keys of shape {keys.shape}, expected {shape}")
    return keys


def check_positive(name: str, value: Any) -> None:
    """Check that every entry is greater than zero.

    Args:
        name: the argument's name, for the message.
        value: a number or an array; traced values pass.

    Raises:
        ValueError: if an entry is zero, negative or NaN.
    """
    _check(name, value, lambda x: x > 0, "must be greater than 0")


def check_nonnegative(name: str, value: Any) -> None:
    """Check that every entry is at least zero.

    Args:
        name: the argument's name, for the message.
        value: a number or an array; traced values pass.

    Raises:
        ValueError: if an entry is negative or NaN.
    """
    _check(name, value, lambda x: x >= 0, "must be at least 0")


def check_finite(name: str, value: Any, remedy: str) -> None:
    """Check that every entry is a finite number.

    Args:
        name: the argument's name, for the message.
        value: a number or an array; traced values pass.
        remedy: what the user can do about it, a clause that ends the message.

    Raises:
        ValueError: if an entry is infinite or NaN.
    """
    _check(name, value, np.isfinite, f"must be finite ({remedy})")


def check_count(name: str, value: int) -> None:
    """Check that a number of things is at least one.

    Args:
        name: the argument's name, for the message.
        value: a plain number.

    Raises:
        ValueError: if it is below 1.
    """
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")


def check_probability(name: str, value: Any, *, open: bool = True) -> None:
    """Check that every entry is a probability.

    Args:
        name: the argument's name, for the message.
        value: a number or an array; traced values pass.
        open: whether 0 and 1 are excluded.

    Raises:
        ValueError: if an entry lies outside (0, 1), or outside [0, 1] when ``open`` is false.
    """
    if open:
        _check(name, value, lambda x: (x > 0) & (x < 1), "must lie strictly between 0 and 1")
    else:
        _check(name, value, lambda x: (x >= 0) & (x <= 1), "must lie between 0 and 1")


def check_no_nan(name: str, value: Any, remedy: str) -> None:
    """Check that no entry is NaN.

    Args:
        name: the argument's name, for the message.
        value: a number or an array; traced values pass.
        remedy: what the user can do about it, a clause that ends the message.

    Raises:
        ValueError: if an entry is NaN.
    """
    if is_concrete(value) and (count := int(np.isnan(np.asarray(value)).sum())):
        raise ValueError(f"{name} has {count} NaN entries; {remedy}")


def _check(name: str, value: Any, holds: Any, rule: str) -> None:
    if not is_concrete(value):
        return
    array = np.asarray(value)
    wrong = ~holds(array)
    if not wrong.any():
        return
    if array.ndim == 0:
        raise ValueError(f"{name} {rule}, got {array.item()!r}")
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = ", ".join(map(str, index))
    raise ValueError(f"{name} {rule} everywhere, got {array[index].item()!r} at {name}[{where}]")


def class_labels(
    name: str, labels: Any, num_examples: int, num_classes: int | None = None
) -> Int[np.ndarray, " examples"]:
    """Class labels as integers, from 0 on.

    Labels of any other form are refused, not guessed at: with broadcasting and wrapping indices
    each of them would give a number, and a wrong one.

    Args:
        name: the argument's name, for the message.
        labels: integers, or floats that are whole numbers, [N].
        num_examples: number of examples N.
        num_classes: number of classes, if it is known.

    Returns:
        The same labels, [N], int32.

    Raises:
        ValueError: if there is not one whole number per example, from 0 to ``num_classes`` - 1.
    """
    array = whole_numbers(name, labels, num_examples)
    if not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    if low >= 0 and (num_classes is None or high < num_classes):
        return array
    wanted = "from 0 on" if num_classes is None else f"0 to {num_classes - 1}"
    remedy = f"number the classes from 0 on: np.unique({name}, return_inverse=True)[1]"
    if low == 1 and high == num_classes:
        remedy = f"they seem to count from 1: use {name} - 1"
    raise ValueError(f"{name} has labels from {low} to {high}, needed are {wanted}; {remedy}")


def whole_numbers(name: str, values: Any, num_examples: int) -> Int[np.ndarray, " examples"]:
    """One whole number per example, of either sign.

    Args:
        name: the argument's name, for the message.
        values: integers, booleans, or floats that are whole numbers, [N].
        num_examples: number of examples N.

    Returns:
        The same numbers, [N], int32.

    Raises:
        ValueError: if they are not numbers, not one per example, not whole, or beyond int32.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} has type {array.dtype}, needed are whole numbers; number the classes with "
            f"np.unique({name}, return_inverse=True)[1]"
        )
    if array.shape != (num_examples,):
        raise ValueError(
            f"{name} has shape {array.shape}, needed is one label for each of the {num_examples} "
            f"examples, ({num_examples},){_one_label_each(name, array, num_examples)}"
        )
    with np.errstate(invalid="ignore"):
        wrong = ~((array == np.floor(array)) & (np.abs(array) <= _LARGEST))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"{name} must hold whole numbers, class labels; {name}[{first}] is {array[first]!r}"
        )
    return array.astype(np.int32)


def _one_label_each(name: str, array: np.ndarray, num_examples: int) -> str:
    if array.shape == (num_examples, 1):
        return f"; use {name}[:, 0]"
    if array.ndim == 2 and len(array) == num_examples:
        return f"; if its rows are one-hot, use {name}.argmax(axis=1)"
    return ""
