"""gujax: what training discloses about each example, and every way of preventing it.

The core is a straight line of pure functions:

    loss_fn, params, batch
      → per_example_grads        dense or factored
      → gram                     K = G Gᵀ
      → uniqueness               GNQ
      → disclosure_bound, membership_mu, predicted_auc, predicted_tpr

for an attacker who sees every update;

    signal, its gram
      → calibrated_ridge
      → membership_shift
      → predict_attack

for one who sees the published model (`assess` does all of it, for a model trained anywhere);

and `gujax.transforms`, optax transformations that act on it. What is built on the core is imported
by name: `gujax.data`, `gujax.models`, `gujax.training`, `gujax.attacks`,
`gujax.defenses`, `gujax.leakage`; their dependencies are extras.
"""

from importlib.metadata import version

# `gujax.uniqueness` is the function; the package of that name is reached by `from gujax.uniqueness
# import ...`. Importing the transforms first makes sure that the name is bound to the function.
from gujax import transforms
from gujax.assessment import Assessment, assess
from gujax.gradients import (
    explain,
    gram,
    gram_by_blocks,
    gram_by_group,
    materialize,
    num_examples,
    per_example_grads,
    sketch,
    squared_norms,
    value_and_per_example_grads,
    weighted_sum,
)
from gujax.prediction import (
    PredictedAttack,
    UncalibratedError,
    calibrated_ridge,
    membership_shift,
    predict_attack,
    signal,
)
from gujax.uniqueness import (
    Ledger,
    SketchedUniqueness,
    batch_to_dataset_uniqueness,
    binary_information,
    compose_mu,
    compose_nats,
    dataset_uniqueness,
    diagonal_uniqueness,
    disclosure_bound,
    gdp_delta,
    init_ledger,
    leverage,
    membership_mu,
    noise_ridge,
    predicted_advantage,
    predicted_auc,
    predicted_tpr,
    relative_ridge,
    ridge_dominance,
    sketched_uniqueness,
    uniqueness,
    uniqueness_error,
    update_ledger,
)

__version__ = version("gujax")

__all__ = [
    "Assessment",
    "Ledger",
    "PredictedAttack",
    "SketchedUniqueness",
    "UncalibratedError",
    "assess",
    "batch_to_dataset_uniqueness",
    "binary_information",
    "calibrated_ridge",
    "compose_mu",
    "compose_nats",
    "dataset_uniqueness",
    "diagonal_uniqueness",
    "disclosure_bound",
    "explain",
    "gdp_delta",
    "gram",
    "gram_by_blocks",
    "gram_by_group",
    "init_ledger",
    "leverage",
    "materialize",
    "membership_mu",
    "membership_shift",
    "noise_ridge",
    "num_examples",
    "per_example_grads",
    "predict_attack",
    "predicted_advantage",
    "predicted_auc",
    "predicted_tpr",
    "relative_ridge",
    "ridge_dominance",
    "signal",
    "sketch",
    "sketched_uniqueness",
    "squared_norms",
    "transforms",
    "uniqueness",
    "uniqueness_error",
    "update_ledger",
    "value_and_per_example_grads",
    "weighted_sum",
]
