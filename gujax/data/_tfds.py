"""Data sets of tensorflow-datasets, read without TensorFlow."""

import difflib
import os
import socket
import urllib.request
from glob import glob
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import tensorflow_datasets as tfds

from gujax.data import _embedded as embedded
from gujax.data._dataset import Dataset, Split
from gujax.data._scaling import standardize

_CHUNK = 1000  # examples decoded between two ticks of the progress bar


def load(name: str, train_split: str, test_split: str, train_size: int | None) -> Dataset:
    """Load a data set of tensorflow-datasets, downloading it first if it is not prepared.

    Images are scaled to [0, 1]; other numeric features are standardized with the training split,
    or left as they are if all values are 0 or 1. If there is exactly one class label besides the
    target, it gives the subgroups.

    Args:
        name: name as `tfds.builder` takes it, ``"mnist"`` or ``"celeb_a:2.1.0"``.
        train_split: split expression for training.
        test_split: split expression for testing.
        train_size: decode no more training examples than this; all if None.

    Returns:
        The data set.

    Raises:
        ValueError: see `gujax.data.load`.
    """
    builder = _prepared(name)
    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        raise ValueError(
            f"data set {name!r} is not a table of features; choose a classification set"
        )
    target = _target(name, builder.info)
    source = _input(name, builder.info, target)
    subgroup = _subgroup(features, target)
    keys = tuple(key for key in (source, target, subgroup) if key is not None)

    def read(split: str, limit: int | None) -> list[np.ndarray]:
        return _read(builder, name, split, keys, limit)

    train_x, train_y, *train_groups = read(train_split, train_size)
    test_x, test_y, *test_groups = read(test_split, None)
    train_x, test_x = _scaled(features[source], train_x, test_x)

    label = features[target]
    is_named = isinstance(label, tfds.features.ClassLabel)
    return Dataset(
        name=name,
        train=Split.from_arrays(train_x, train_y, *train_groups),
        test=Split.from_arrays(test_x, test_y, *test_groups),
        num_classes=label.num_classes if is_named else int(max(train_y.max(), test_y.max())) + 1,
        class_names=tuple(label.names) if is_named else None,
    )


def load_texts(name: str, split: str, feature: str | None, num_texts: int | None) -> list[str]:
    """Texts of a data set of tensorflow-datasets.

    Args:
        name: as in `load`.
        split: split expression.
        feature: which feature; the only text feature if None.
        num_texts: decode no more than so many; all if None.

    Raises:
        ValueError: see `gujax.data.load_texts`.
    """
    builder = _prepared(name)
    features = builder.info.features
    texts = [
        key
        for key, kind in (features.items() if hasattr(features, "items") else ())
        if isinstance(kind, tfds.features.Text)
    ]
    if feature is None and len(texts) == 1:
        feature = texts[0]
    if feature is None or feature not in texts:
        asked = "needs a name of one" if feature is None else f"has no text feature {feature!r}"
        raise ValueError(
            f"data set {name!r} {asked}; its text features are {', '.join(texts) or 'none'}"
        )
    (column,) = _read(builder, name, split, (feature,), num_texts)
    return [text.decode() if isinstance(text, bytes) else str(text) for text in column]


def _prepared(name: str) -> Any:
    """The builder, its files on disk."""
    data_dir = os.environ.get("TFDS_DATA_DIR")  # looked up now: tfds does so once, at import
    try:
        builder = tfds.builder(
            name, data_dir=data_dir, file_format=tfds.core.FileFormat.ARRAY_RECORD
        )
    except tfds.core.registered.DatasetNotFoundError:
        raise ValueError(_unknown(name, data_dir)) from None
    except Exception as error:
        if "Parsing builder name" in str(error):  # a name that no data set can have
            raise ValueError(_unknown(name, data_dir)) from None
        raise ValueError(f"data set {name!r} cannot be opened: {_first_line(error)}") from None
    if builder.data_path.exists() and builder.info.splits:
        return builder
    remedy = "prepare it on a machine with a network and set TFDS_DATA_DIR to that folder"
    folder = builder.data_path.parent.parent
    if (host := _unreachable_host(builder)) is not None:
        raise ValueError(
            f"data set {name!r} is not prepared in {folder} and {host} cannot be reached to "
            f"download it; {remedy}"
        )
    try:
        builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
    except ImportError:  # most builders of tensorflow_datasets use TensorFlow to write, not to read
        raise ValueError(
            f"data set {name!r} is not prepared in {folder} and preparing it takes TensorFlow, "
            f"once: in another environment, with tensorflow installed, run `tfds build {name} "
            f"--file_format=array_record --data_dir={folder}`"
        ) from None
    except Exception as error:
        raise ValueError(
            f"data set {name!r} is not prepared in {folder} and preparing it failed "
            f"({_first_line(error)}); {remedy}"
        ) from None
    return builder


def _unknown(name: str, data_dir: str | None) -> str:
    """What to say about a name that nothing is known by."""
    lying = _lying_in(data_dir)
    known = [*embedded.LOADERS, *tfds.list_builders(with_community_datasets=False), *lying]
    near = difflib.get_close_matches(name.split(":")[0].lower(), sorted(set(known)), n=3)
    meant = f" (near names: {', '.join(near)})" if near else ""
    where = (
        "TFDS_DATA_DIR is not set: set it to the folder that holds it"
        if data_dir is None
        else f"TFDS_DATA_DIR={data_dir} holds {', '.join(lying) or 'no data set'}"
    )
    return (
        f"data set {name!r} is unknown{meant}; use {', '.join(map(repr, embedded.LOADERS))} or a "
        f"name of tensorflow_datasets; {where}"
    )


def _lying_in(data_dir: str | None) -> list[str]:
    """Names of the data sets that are prepared in a folder."""
    if data_dir is None or not os.path.isdir(data_dir):
        return []
    # name/version/dataset_info.json, or name/config/version/dataset_info.json
    found = (*glob("*/*/dataset_info.json", root_dir=data_dir),)
    found += (*glob("*/*/*/dataset_info.json", root_dir=data_dir),)
    return sorted({path.split(os.sep)[0] for path in found})


def _unreachable_host(builder: Any) -> str | None:
    """A host of the download that has no address; looked up first, for tfds retries for minutes."""
    if urllib.request.getproxies():
        return None
    for host in {urlsplit(url).hostname for url in builder.url_infos or ()} - {None}:
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            return host
    return None


def _target(name: str, info: Any) -> str:
    """The feature to predict."""
    if info.supervised_keys is not None:
        target = info.supervised_keys[1]
        if isinstance(target, str) and _is_class(info.features[target]):
            return target
    labels = [k for k, f in info.features.items() if isinstance(f, tfds.features.ClassLabel)]
    if len(labels) != 1:
        raise ValueError(
            f"data set {name!r} has {len(labels)} class labels and names no target to "
            f"predict; choose a data set with one, it has the features {', '.join(info.features)}"
        )
    return labels[0]


def _input(name: str, info: Any, target: str) -> str:
    """The feature to predict from."""
    inputs = {k: f for k, f in info.features.items() if k != target and _is_input(f)}
    preferred = info.supervised_keys[0] if info.supervised_keys is not None else None
    if isinstance(preferred, str) and preferred in inputs:
        return preferred
    images = [k for k, f in inputs.items() if isinstance(f, tfds.features.Image)]
    candidates = images or list(inputs)
    if len(candidates) == 1:
        return candidates[0]
    if any(isinstance(f, tfds.features.Text) for f in info.features.values()) and not candidates:
        raise ValueError(
            f"data set {name!r} has only text as input; read it with "
            "gujax.data.load_texts, or choose one with images or numbers"
        )
    found = ", ".join(f"{key} {feature.shape}" for key, feature in info.features.items())
    raise ValueError(
        f"data set {name!r} needs one image or one numeric array of fixed shape as input, it has "
        f"the features {found}"
    )


def _subgroup(features: Any, target: str) -> str | None:
    others = [
        k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel) and k != target
    ]
    return others[0] if len(others) == 1 else None


def _is_class(feature: Any) -> bool:
    return isinstance(feature, tfds.features.ClassLabel) or (
        feature.shape == () and np.issubdtype(feature.np_dtype, np.integer)
    )


def _is_input(feature: Any) -> bool:
    if isinstance(feature, tfds.features.Text) or not feature.shape or None in feature.shape:
        return False
    return np.issubdtype(feature.np_dtype, np.number) or feature.np_dtype == np.bool_


def _read(
    builder: Any, name: str, split: str, keys: tuple[str, ...], limit: int | None
) -> list[np.ndarray]:
    try:
        source = builder.as_data_source(split)
    except Exception as error:
        raise ValueError(
            f"split {split!r} of data set {name!r} cannot be read ({_first_line(error)}); choose "
            f"from {', '.join(builder.info.splits)}, or a part of one such as 'train[:80%]'"
        ) from None
    size = len(source) if limit is None else min(limit, len(source))
    columns: list[list[np.ndarray]] = [[] for _ in keys]
    for start in range(0, size, _CHUNK):
        for example in source.__getitems__(range(start, min(start + _CHUNK, size))):
            for column, key in zip(columns, keys):
                column.append(example[key])
    return [np.stack(column) for column in columns]


def _scaled(feature: Any, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(feature, tfds.features.Image):
        largest = np.float32(np.iinfo(train.dtype).max)
        return train / largest, test / largest
    if np.isin(train, (0, 1)).all():
        return train, test
    return standardize(train, test)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
