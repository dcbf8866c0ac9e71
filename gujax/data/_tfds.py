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
from gujax.data._features import Chosen, Schema, at, class_names
from gujax.data._scaling import standardize

_CHUNK = 1000  # examples decoded at a time
_UNSAID = Chosen()


def load(
    name: str,
    train_split: str,
    test_split: str,
    train_size: int | None,
    chosen: Chosen = _UNSAID,
) -> Dataset:
    """Load a data set of tensorflow-datasets, downloading it first if it is not prepared.

    Images are scaled to [0, 1]; other numeric features are standardized with the training split,
    or left as they are if all values are 0 or 1. Entries of a dictionary become columns, each
    scaled by itself, and class labels among them a column of 0 and 1 for each class.

    Args:
        name: name as `tfds.builder` takes it, ``"mnist"`` or ``"celeb_a:2.1.0"``.
        train_split: split expression for training.
        test_split: split expression for testing.
        train_size: decode no more training examples than this; all if None.
        chosen: the features to read.

    Returns:
        The data set.

    Raises:
        ValueError: see `gujax.data.load`.
    """
    builder = _prepared(name)
    schema = Schema(name, builder.info)
    columns = schema.choose(chosen)
    keys = (*columns.inputs, columns.target)
    keys += () if columns.attribute is None else (columns.attribute,)

    def read(split: str, limit: int | None) -> dict[str, np.ndarray]:
        return dict(zip(keys, _read(builder, name, split, keys, limit)))

    train, test = read(train_split, train_size), read(test_split, None)
    if chosen.attribute is not None and len(np.unique(train[chosen.attribute])) < 2:
        raise ValueError(
            f"attribute={chosen.attribute!r} is constant on the {len(train[columns.target])} "
            f"training examples of {name!r}; {schema.offer(columns.target, chosen.attribute)}, or "
            "take more examples"
        )
    inputs = [_scaled(schema.nodes[path], train[path], test[path]) for path in columns.inputs]
    if len(inputs) > 1 or not train[columns.inputs[0]][0].shape:
        train_x, test_x = (np.concatenate(of_split, axis=1) for of_split in zip(*inputs))
    else:
        ((train_x, test_x),) = inputs

    def split(x: np.ndarray, read: dict[str, np.ndarray]) -> Split:
        groups = None if columns.attribute is None else read[columns.attribute]
        return Split.from_arrays(x, read[columns.target], groups)

    label = schema.nodes[columns.target]
    is_named = isinstance(label, tfds.features.ClassLabel)
    is_flag = label.np_dtype == np.bool_
    largest = max(1 if is_flag else int(part[columns.target].max()) for part in (train, test))
    attribute = None if columns.attribute is None else schema.nodes[columns.attribute]
    return Dataset(
        name=name,
        train=split(train_x, train),
        test=split(test_x, test),
        num_classes=label.num_classes if is_named else largest + 1,
        class_names=class_names(label),
        attribute=columns.attribute,
        attribute_names=None if attribute is None else class_names(attribute),
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
                column.append(at(example, key))
    return [np.stack(column) for column in columns]


def _scaled(feature: Any, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(feature, tfds.features.Image):
        largest = np.float32(np.iinfo(train.dtype).max)
        return train / largest, test / largest
    if isinstance(feature, tfds.features.ClassLabel):  # an entry of a dictionary
        ones = np.eye(feature.num_classes, dtype=np.float32)
        return ones[train], ones[test]
    if train.ndim == 1:
        train, test = train[:, None], test[:, None]
    if np.isin(train, (0, 1)).all():
        return train, test
    return standardize(train, test)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
