"""Labels as users have them, and as everything here takes them: one whole number per example."""

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

_LARGEST = np.iinfo(np.int32).max


def class_labels(
    name: str, labels: ArrayLike, num_examples: int, num_classes: int | None = None
) -> Int[np.ndarray, "examples"]:
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


def whole_numbers(name: str, values: ArrayLike, num_examples: int) -> Int[np.ndarray, "examples"]:
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
            f"examples, ({num_examples},){_remedy(name, array, num_examples)}"
        )
    with np.errstate(invalid="ignore"):
        wrong = ~((array == np.floor(array)) & (np.abs(array) <= _LARGEST))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"{name} must hold whole numbers, class labels; {name}[{first}] is {array[first]!r}"
        )
    return array.astype(np.int32)


def _remedy(name: str, array: np.ndarray, num_examples: int) -> str:
    if array.shape == (num_examples, 1):
        return f"; use {name}[:, 0]"
    if array.ndim == 2 and len(array) == num_examples:
        return f"; if its rows are one-hot, use {name}.argmax(axis=1)"
    return ""
