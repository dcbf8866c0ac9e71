"""The measures of uniqueness that the study ranks examples by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

import gujax
from experiments.membership.recorder import Statistic

Kind = Literal["exact", "dataset", "diagonal", "norm"]


@dataclass(frozen=True)
class Estimator:
    """One measure of an example's uniqueness.

    Attributes:
        kind: "exact": GNQ among its batch, summed over steps. "dataset": GNQ among all members of
            the model, summed over checkpoints. "diagonal": the diagonal GNQ of arXiv 2510.10902 v1
            among its batch. "norm": squared gradient norm, as in TracIn-self without its learning
            rates.
        ridge: what is added to the second moment, over the mean squared gradient norm of the batch
            or the data set; 0 for "norm", which has none.
    """

    kind: Kind
    ridge: float = 0.0

    @property
    def label(self) -> str:
        """Its name in tables, figures and files."""
        names = {
            "exact": "exact, per batch",
            "dataset": "exact, data set",
            "diagonal": "diagonal",
            "norm": "gradient norm",
        }
        return names[self.kind] + (f", ridge {self.ridge:g}" if self.ridge else "")


def chosen(
    relative_ridge: float, other_ridges: Sequence[float], diagonal_ridges: Sequence[float]
) -> list[Estimator]:
    """All measures, the exact one under the main ridge first."""
    ridges = dict.fromkeys((relative_ridge, *other_ridges))
    return [
        *(Estimator("exact", ridge) for ridge in ridges),
        Estimator("dataset", relative_ridge),
        *(Estimator("diagonal", ridge) for ridge in dict.fromkeys(diagonal_ridges)),
        Estimator("norm"),
    ]


def statistic(estimator: Estimator) -> Statistic:
    """What the estimator measures on one batch."""
    ridge = estimator.ridge

    def exact(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        return gujax.uniqueness(gujax.gram(grads), relative_ridge=ridge, mask=mask)

    def diagonal(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        mean_square = jnp.mean(gujax.squared_norms(grads), where=mask)
        return gujax.diagonal_uniqueness(grads, ridge * mean_square, mask=mask)

    def norm(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        return jnp.where(mask, gujax.squared_norms(grads), 0)

    return {"exact": exact, "diagonal": diagonal, "norm": norm}[estimator.kind]
