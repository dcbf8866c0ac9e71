"""Data sets as in-memory arrays with stable example ids."""

from gujax._extras import extra

with extra("data"):
    from gujax.data._canaries import Canaries, mislabelled_canaries, near_duplicate_canaries
    from gujax.data._dataset import Dataset, Split
    from gujax.data._imbalance import GroupBy, group_labels, imbalance
    from gujax.data._load import load
    from gujax.validation import class_labels

__all__ = [
    "Canaries",
    "Dataset",
    "GroupBy",
    "Split",
    "class_labels",
    "group_labels",
    "imbalance",
    "load",
    "mislabelled_canaries",
    "near_duplicate_canaries",
]
