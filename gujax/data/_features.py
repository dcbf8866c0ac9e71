"""Which features of a data set are read: found by name, within dictionaries too."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds


class Chosen(NamedTuple):
    """Names of features, with slashes for those within dictionaries; None to let the data say.

    Attributes:
        input: What to predict from.
        target: What to predict.
        attribute: What the subgroups are.
    """

    input: str | None = None
    target: str | None = None
    attribute: str | None = None


class Columns(NamedTuple):
    """Paths of the features that are read.

    Attributes:
        inputs: One image or array, or the entries of a dictionary, which become columns.
        target: What to predict.
        attribute: What the subgroups are, or None.
    """

    inputs: tuple[str, ...]
    target: str
    attribute: str | None


class Schema:
    """The features of a data set by path."""

    def __init__(self, name: str, info: Any):
        """Take the features of a builder's ``info``.

        Raises:
            ValueError: if they are no dictionary.
        """
        if not isinstance(info.features, tfds.features.FeaturesDict):
            raise ValueError(
                f"data set {name!r} is not a table of features; choose a classification set"
            )
        self.name = name
        self.keys: tuple[Any, Any] = (info.supervised_keys or (None, None))[:2]
        self.nodes: Mapping[str, Any] = dict(_walk(info.features))

    def choose(self, chosen: Chosen) -> Columns:
        """Find what is asked for, and what the data set itself says about the rest.

        Raises:
            ValueError: if a feature does not exist or has not the form, or the attribute is the
                target.
        """
        target = self._target(chosen)
        attribute = self._attribute(chosen.attribute, target)
        return Columns(self._inputs(chosen, target, attribute), target, attribute)

    def offer(self, *without: str | None) -> str:
        """What can be a target or attribute instead, for messages."""
        found = [path for path, feature in self.nodes.items() if _is_class(feature)]
        others = ", ".join(path for path in found if path not in without)
        return f"choose from {others}" if others else "it has no other label"

    def _target(self, chosen: Chosen) -> str:
        if chosen.target is not None:
            return self._class("target", chosen.target)
        named = self.keys[1]
        if isinstance(named, str) and named != chosen.attribute and _is_class(self.nodes[named]):
            return named
        labels = [path for path in self._labels() if path not in (chosen.attribute, chosen.input)]
        if len(labels) != 1:
            raise ValueError(
                f"data set {self.name!r} has {len(labels)} class labels and names no target to "
                f"predict; with target=, {self.offer(chosen.attribute)} (its features are "
                f"{', '.join(self.nodes)})"
            )
        return labels[0]

    def _attribute(self, attribute: str | None, target: str) -> str | None:
        if attribute is not None:
            if self._class("attribute", attribute, target) == target:
                raise ValueError(
                    f"attribute={attribute!r} is the target of {self.name!r} itself; "
                    f"{self.offer(target)}, or name another target"
                )
            return attribute
        others = [path for path in self._labels() if path != target]
        return others[0] if len(others) == 1 else None

    def _inputs(self, chosen: Chosen, target: str, attribute: str | None) -> tuple[str, ...]:
        taken = (target, attribute)
        if chosen.input is not None:
            return self._named_inputs(chosen.input, taken)
        named = self.keys[0]
        if isinstance(named, str) and (columns := self._columns(named, taken)):
            return columns
        inputs = {k: f for k, f in self.nodes.items() if k not in taken and _is_array(f)}
        images = [path for path, f in inputs.items() if isinstance(f, tfds.features.Image)]
        candidates = images or list(inputs)
        if len(candidates) == 1:
            return (candidates[0],)
        has_text = any(isinstance(f, tfds.features.Text) for f in self.nodes.values())
        if has_text and not candidates:
            raise ValueError(
                f"data set {self.name!r} has only text as input; read it with "
                "gujax.data.load_texts, or choose one with images or numbers"
            )
        found = ", ".join(
            f"{path} {f.shape}" for path, f in self.nodes.items() if not _is_dictionary(f)
        )
        raise ValueError(
            f"data set {self.name!r} needs one image or one numeric array of fixed shape as input, "
            f"it has the features {found}; name one with input="
        )

    def _named_inputs(self, name: str, taken: tuple[str | None, ...]) -> tuple[str, ...]:
        can_be = [path for path in self.nodes if self._columns(path, taken)]
        if name in taken:
            role = "target" if name == taken[0] else "attribute"
            raise ValueError(
                f"input={name!r} is the {role} of {self.name!r}; choose from {', '.join(can_be)}"
            )
        if name not in self.nodes:
            raise ValueError(
                f"input={name!r}: data set {self.name!r} has no such feature; choose from "
                f"{', '.join(can_be)}"
            )
        if not (found := self._columns(name, taken)):
            raise ValueError(
                f"input={name!r} of {self.name!r} is no image, numeric array of fixed shape or "
                f"dictionary of numbers; choose from {', '.join(can_be)}"
            )
        return found

    def _columns(self, name: str, taken: tuple[str | None, ...]) -> tuple[str, ...]:
        """The features that an input consists of; empty if it can be none."""
        feature = self.nodes.get(name)
        if feature is None or name in taken:
            return ()
        if not _is_dictionary(feature):
            return (name,) if _is_array(feature) else ()
        below = [path for path in self.nodes if path.startswith(f"{name}/") and path not in taken]
        return tuple(below) if all(_is_number(self.nodes[path]) for path in below) else ()

    def _class(self, argument: str, name: str, *without: str) -> str:
        if name not in self.nodes:
            raise ValueError(
                f"{argument}={name!r}: data set {self.name!r} has no such label; "
                f"{self.offer(*without)}"
            )
        if not _is_class(self.nodes[name]):
            raise ValueError(
                f"{argument}={name!r} of {self.name!r} is no class label, whole number or flag; "
                f"{self.offer(*without)}"
            )
        return name

    def _labels(self) -> list[str]:
        """Class labels outside of dictionaries: what the data set itself says is a label."""
        return [
            path
            for path, feature in self.nodes.items()
            if isinstance(feature, tfds.features.ClassLabel) and "/" not in path
        ]


def at(example: Mapping[str, Any], path: str) -> Any:
    """What an example holds at a path."""
    value: Any = example
    for part in path.split("/"):
        value = value[part]
    return value


def class_names(feature: Any) -> tuple[str, ...] | None:
    """Names of a feature's classes; None for numbers and flags."""
    return tuple(feature.names) if isinstance(feature, tfds.features.ClassLabel) else None


def _walk(features: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every feature with its path; dictionaries too, before what is within them."""
    for key, feature in features.items():
        yield f"{prefix}{key}", feature
        if _is_dictionary(feature):
            yield from _walk(feature, f"{prefix}{key}/")


def _is_dictionary(feature: Any) -> bool:
    return isinstance(feature, tfds.features.FeaturesDict)


def _is_class(feature: Any) -> bool:
    if _is_dictionary(feature) or feature.shape != ():
        return False
    kind = feature.np_dtype
    return isinstance(feature, tfds.features.ClassLabel) or (
        np.issubdtype(kind, np.integer) or kind == np.bool_
    )


def _is_array(feature: Any) -> bool:
    if _is_dictionary(feature) or isinstance(feature, tfds.features.Text):
        return False
    return bool(feature.shape) and None not in feature.shape and _is_numeric(feature)


def _is_number(feature: Any) -> bool:
    return not _is_dictionary(feature) and feature.shape == () and _is_numeric(feature)


def _is_numeric(feature: Any) -> bool:
    if not isinstance(feature.np_dtype, type | np.dtype):
        return False
    return np.issubdtype(feature.np_dtype, np.number) or feature.np_dtype == np.bool_
