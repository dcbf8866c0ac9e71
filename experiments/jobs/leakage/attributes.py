"""Private attributes: features of the data set, or functions of it.

Functions need no data beyond the data set's own; `find` looks either up by the name that the
command line takes.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.framework.errors import UserError, as_user_error, check_option
from gujax import data

Flags = Bool[np.ndarray, " examples"]

ANIMALS = frozenset({"bird", "cat", "deer", "dog", "frog", "horse"})
VEHICLES = frozenset({"airplane", "automobile", "ship", "truck"})
_LISTED = 8  # shares of more values than this are not spelled out


class Attribute(NamedTuple):
    """A private attribute of every training example.

    Attributes:
        meaning: What it says about an example, in words: a sentence that is true or false of it, or
            the name of the feature.
        values: Its value for each example, from 0; of a sentence, 1 where it is true, [examples].
        names: Names of the values of a feature; None for a sentence.
    """

    meaning: str
    values: Int[np.ndarray, " examples"]
    names: tuple[str, ...] | None = None

    @property
    def question(self) -> str:
        """What an attacker wants to know."""
        return f"whether {self.meaning}" if self.names is None else f"the {self.meaning}"

    @property
    def shares(self) -> str:
        """How often its values are among the training examples."""
        share = np.bincount(self.values) / len(self.values)
        if self.names is None:
            return f"true of {100 * share[1]:.0f} % of the training examples"
        if len(share) > _LISTED:
            return f"{len(share)} values, the most frequent {100 * share.max():.0f} %"
        return ", ".join(f"{name} {100 * x:.0f} %" for name, x in zip(self.names, share))

    def named(self, values: Int[np.ndarray, " some"]) -> np.ndarray:
        """Values as a table shows them."""
        return values == 1 if self.names is None else np.array(self.names)[values]


def brightness(dataset: data.Dataset) -> Attribute:
    """Mean over pixels and channels."""
    mean = _images(dataset, "brightness").reshape(len(dataset.train), -1).mean(axis=1)
    return _flag("the image is brighter than the median", mean > np.median(mean))


def thickness(dataset: data.Dataset) -> Attribute:
    """See `stroke_thickness`."""
    values = stroke_thickness(_images(dataset, "thickness"))
    return _flag("strokes are thicker than the median", values > np.median(values))


def parity(dataset: data.Dataset) -> Attribute:
    """It is a function of the label."""
    _images(dataset, "parity")
    values = _of_names(dataset, "parity is of digits", str.isdigit, lambda name: int(name) % 2 == 1)
    return _flag("the digit is odd", values)


def animal(dataset: data.Dataset) -> Attribute:
    """It is a function of the label."""
    needs = "animal needs the classes of cifar10, animals and vehicles"
    values = _of_names(dataset, needs, (ANIMALS | VEHICLES).__contains__, ANIMALS.__contains__)
    return _flag("the image shows an animal, not a vehicle", values)


def column(dataset: data.Dataset, argument: str) -> Attribute:
    """One binary feature of a tabular set; the larger of its two values counts as having it."""
    x, index, name = dataset.train.x, _number("column", argument), f"--attribute column:{argument}"
    check_option(
        x.ndim == 2,
        f"{name} is of tabular data; the examples of {dataset.name} have shape "
        f"{dataset.feature_shape}; try --attribute brightness",
    )
    check_option(
        0 <= index < x.shape[-1],
        f"{name}: the columns of {dataset.name} are 0 to {x.shape[-1] - 1}",
    )
    values = np.unique(x[:, index])
    check_option(
        len(values) <= 2,
        f"{name} has {len(values)} different values in {dataset.name}; choose a binary column, or "
        "function:MODULE.NAME for a function of your own",
    )
    return _flag(f"column {index} has its larger value", x[:, index] == values[-1])


def of_class(dataset: data.Dataset, argument: str) -> Attribute:
    """Whether an example is of one class: the label itself, for who asks for it."""
    label, classes, names = _number("class", argument), dataset.num_classes, dataset.class_names
    check_option(
        0 <= label < classes,
        f"--attribute class:{label}: the classes of {dataset.name} are 0 to {classes - 1}",
    )
    meaning = f"the class is {names[label]}" if names else f"class {label}"
    return _flag(meaning, dataset.train.y == label)


def from_feature(dataset: data.Dataset, value: str) -> Attribute:
    """The feature that the data set was loaded with, or one value of it against the others."""
    assert dataset.train.subgroups is not None  # it was loaded with the feature
    values, groups = np.unique(dataset.train.subgroups, return_inverse=True)
    all_names = dataset.attribute_names
    names = tuple(all_names[v] if all_names else str(v) for v in values)
    meaning = (dataset.attribute or "").rpartition("/")[2]
    if not value:
        is_flag = all_names is None and values.tolist() == [0, 1]
        return Attribute(meaning, groups, ("no", "yes") if is_flag else names)
    check_option(
        value in names,
        f"--attribute {dataset.attribute}:{value} is no value of {dataset.attribute} among the "
        f"training examples of {dataset.name}; choose from {', '.join(names)}",
    )
    return _flag(f"{meaning} is {value}", groups == names.index(value))


def from_function(dataset: data.Dataset, argument: str) -> Attribute:
    """What a function of the user's own says, which maps a `gujax.data.Split` to booleans."""
    module, _, name = argument.rpartition(".")
    with as_user_error(ImportError, AttributeError, ValueError):
        function = getattr(importlib.import_module(module), name)
    values = np.asarray(function(dataset.train))
    check_option(
        values.shape == (len(dataset.train),) and len(np.unique(values)) <= 2,
        f"--attribute function:{argument} gave values of shape {values.shape}; it must give one "
        f"boolean for each of the {len(dataset.train)} training examples",
    )
    return _flag(argument, values == values.max())


NAMED: dict[str, Callable[[data.Dataset], Attribute]] = {
    "brightness": brightness,
    "thickness": thickness,
    "parity": parity,
    "animal": animal,
}
WITH_ARGUMENT: dict[str, Callable[[data.Dataset, str], Attribute]] = {
    "column": column,
    "class": of_class,
    "function": from_function,
}
"""By what stands before the colon; the argument is what stands after it."""


def feature_of(name: str) -> str | None:
    """The feature of the data set that an attribute is, or None if it is a function of the data."""
    kind, colon, _ = name.partition(":")
    return None if name in NAMED or (colon and kind in WITH_ARGUMENT) else kind


def find(name: str, dataset: data.Dataset) -> Attribute:
    """An attribute of the training split by name.

    Args:
        name: A key of `NAMED`, "column:17", "class:3", "function:package.module.name", or the
            feature that the data set was loaded with, alone or with a value as in "race:White".
        dataset: The data set.

    Raises:
        UserError: It does not exist for this data set, it is constant, or it is the label itself
            though nobody asked for a class.
    """
    kind, _, argument = name.partition(":")
    if feature_of(name) is not None:
        found = from_feature(dataset, argument)
    elif name in NAMED:
        found = NAMED[name](dataset)
    else:
        found = WITH_ARGUMENT[kind](dataset, argument)
    values, labels = found.values, dataset.train.y
    check_option(
        len(np.unique(values)) > 1,
        f"--attribute {name} is constant on the {len(values)} training examples of {dataset.name}: "
        "there is nothing to infer; choose another attribute or more examples",
    )
    # As many classes as values, each of which has one value of the attribute.
    pairs = set(zip(values.tolist(), labels.tolist()))
    is_label = len(np.unique(labels)) == len(np.unique(values)) == len(pairs)
    check_option(
        kind == "class" or not is_label,
        f"--attribute {name} is the label of {dataset.name} itself, which gradients give away; "
        "choose another, or ask for a class with --attribute class:1",
    )
    return found


def without_feature(reason: UserError) -> UserError:
    """Why a data set has no such feature, with the functions that there are instead."""
    return UserError(
        f"{reason}; or, computed from the data, --attribute {', '.join(NAMED)}, column:NUMBER, "
        "class:NUMBER or function:MODULE.NAME"
    )


def stroke_thickness(
    images: Float[np.ndarray, "examples h w c"],
) -> Float[np.ndarray, " examples"]:
    """Mean thickness of the strokes of images, bright on black, in pixels.

    A stroke of length l and thickness t has the area l t and a boundary of about 2 l: twice the
    area over the boundary. The area is the sum of the pixels, the boundary the sum of absolute
    differences between neighbors (with black outside), so that gray edges count as what they are.
    An l × t rectangle gives l t / (l + t). An image that is black everywhere gives 0.

    Args:
        images: Pixels, not negative, [examples, h, w, c]; channels are averaged.
    """
    gray = np.pad(images.mean(axis=-1), ((0, 0), (1, 1), (1, 1)))
    boundary = sum(np.abs(np.diff(gray, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
    return 2 * gray.sum(axis=(1, 2)) / np.maximum(boundary, np.finfo(np.float32).tiny)


def _flag(meaning: str, values: Flags) -> Attribute:
    return Attribute(meaning, values.astype(np.int32))


def _images(dataset: data.Dataset, attribute: str) -> Float[np.ndarray, "examples h w c"]:
    check_option(
        dataset.train.x.ndim == 4,
        f"--attribute {attribute} is of images; the examples of {dataset.name} have shape "
        f"{dataset.feature_shape}; try --attribute column:NUMBER",
    )
    return dataset.train.x


def _of_names(
    dataset: data.Dataset, needs: str, known: Callable[[str], bool], has: Callable[[str], bool]
) -> Flags:
    """An attribute of the classes' names; `needs` says which names it knows, for others."""
    names = dataset.class_names or ()
    check_option(
        bool(names) and all(map(known, names)),
        f"--attribute {needs}; the classes of {dataset.name} are "
        f"{', '.join(names) or 'unnamed'}; try another --attribute",
    )
    return np.array([has(name) for name in names])[dataset.train.y]


def _number(kind: str, argument: str) -> int:
    check_option(
        argument.isdigit(), f"--attribute {kind}:{argument} needs a number, as in {kind}:3"
    )
    return int(argument)
