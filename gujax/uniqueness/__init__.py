"""Gradient uniqueness (GNQ), and what it discloses about each example's membership."""

from gujax.uniqueness._composition import batch_to_dataset_uniqueness, compose_mu, compose_nats
from gujax.uniqueness._dataset import dataset_uniqueness
from gujax.uniqueness._diagonal import diagonal_uniqueness
from gujax.uniqueness._disclosure import binary_information, disclosure_bound, membership_mu
from gujax.uniqueness._gnq import leverage, ridge_dominance, uniqueness, uniqueness_error
from gujax.uniqueness._ledger import Ledger, init_ledger, update_ledger
from gujax.uniqueness._predictions import (
    gdp_delta,
    predicted_advantage,
    predicted_auc,
    predicted_tpr,
)
from gujax.uniqueness._ridge import noise_ridge, relative_ridge, resolve_ridge
from gujax.uniqueness._sketched import SketchedUniqueness, sketched_uniqueness

__all__ = [
    "Ledger",
    "SketchedUniqueness",
    "batch_to_dataset_uniqueness",
    "binary_information",
    "compose_mu",
    "compose_nats",
    "dataset_uniqueness",
    "diagonal_uniqueness",
    "disclosure_bound",
    "gdp_delta",
    "init_ledger",
    "leverage",
    "membership_mu",
    "noise_ridge",
    "predicted_advantage",
    "predicted_auc",
    "predicted_tpr",
    "relative_ridge",
    "resolve_ridge",
    "ridge_dominance",
    "sketched_uniqueness",
    "uniqueness",
    "uniqueness_error",
    "update_ledger",
]
