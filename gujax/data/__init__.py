"""Data sets as in-memory arrays with stable example ids."""

from gujax.data.dataset import Dataset, Split
from gujax.data.load import load

__all__ = ["Dataset", "Split", "load"]
