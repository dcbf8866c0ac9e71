"""Data sets as in-memory arrays with stable example ids, and texts as tokens."""

from gujax._extras import extra

with extra("data"):
    from gujax.data._canaries import Canaries, mislabelled_canaries, near_duplicate_canaries
    from gujax.data._dataset import Dataset, Split
    from gujax.data._imbalance import GroupBy, group_labels, imbalance
    from gujax.data._load import load
    from gujax.data._near_duplicates import near_duplicates
    from gujax.data._text import Bucket, Tokens, bucket_by_length, load_texts, tokenize
    from gujax.validation import class_labels

__all__ = [
    "Bucket",
    "Canaries",
    "Dataset",
    "GroupBy",
    "Split",
    "Tokens",
    "bucket_by_length",
    "class_labels",
    "group_labels",
    "imbalance",
    "load",
    "load_texts",
    "mislabelled_canaries",
    "near_duplicate_canaries",
    "near_duplicates",
    "tokenize",
]
