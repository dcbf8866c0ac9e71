"""The data sets that come with scikit-learn: no network, no files."""

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from gujax.data._dataset import Dataset, Split
from gujax.data._scaling import standardize

# Fixed once: the ids of examples, and so every per-example table, depend on it.
_SPLIT_SEED = 0
_TEST_FRACTION = 0.2


def digits() -> Dataset:
    """Handwritten digits: 1,797 images of 8 × 8 pixels in 10 classes, 1,437 of them for training.

    Returns:
        The data set; x is [N, 8, 8, 1] in [0, 1].
    """
    bunch = datasets.load_digits()
    train, test = _stratified_split(bunch.images[..., None] / 16.0, bunch.target)
    names = tuple(str(name) for name in bunch.target_names)
    return Dataset("digits", Split.from_arrays(*train), Split.from_arrays(*test), 10, names)


def breast_cancer() -> Dataset:
    """Breast cancer Wisconsin (diagnostic): 569 patients, 30 measurements, 2 classes.

    Returns:
        The data set; x is [N, 30], standardized with the mean and deviation of the training split.
    """
    bunch = datasets.load_breast_cancer()
    (train_x, train_y), (test_x, test_y) = _stratified_split(bunch.data, bunch.target)
    train_x, test_x = standardize(train_x, test_x)
    names = tuple(str(name) for name in bunch.target_names)
    train, test = Split.from_arrays(train_x, train_y), Split.from_arrays(test_x, test_y)
    return Dataset("breast_cancer", train, test, 2, names)


LOADERS = {"digits": digits, "breast_cancer": breast_cancer}


def _stratified_split(x: np.ndarray, y: np.ndarray):
    train, test = train_test_split(
        np.arange(len(y)), test_size=_TEST_FRACTION, random_state=_SPLIT_SEED, stratify=y
    )
    return (x[train], y[train]), (x[test], y[test])
