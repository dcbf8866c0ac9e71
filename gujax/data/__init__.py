"""Data sets as in-memory arrays with stable example ids."""

from gujax._extras import extra

with extra("data"):
    from gujax.data.canaries import Canaries, mislabelled_canaries, near_duplicate_canaries
    from gujax.data.dataset import Dataset, Split
    from gujax.data.imbalance import GroupBy, group_labels, imbalance
    from gujax.data.load import load

__all__ = [
    "Canaries",
    "Dataset",
    "GroupBy",
    "Split",
    "group_labels",
    "imbalance",
    "load",
    "mislabelled_canaries",
    "near_duplicate_canaries",
]
