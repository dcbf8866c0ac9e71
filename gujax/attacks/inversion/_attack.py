"""An attack by gradient matching is a choice of parts; the published ones are two such choices."""

from dataclasses import dataclass

import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PyTree

from gujax.attacks.inversion._matching import MatchingLoss, cosine_distance, squared_distance
from gujax.attacks.inversion._priors import (
    Initialize,
    Projection,
    Regularizer,
    box,
    standard_normal,
    total_variation,
)
from gujax.trees import LeafWeights, every_leaf
from gujax.validation import check_count, check_nonnegative, check_positive

_MEMORY_SIZE = 100  # of L-BFGS; PyTorch's default, with which DLG was published


@dataclass(frozen=True)
class GradientMatching:
    """Minimizes ``matching_loss(gradient of the candidate, shared gradient) + regularizer``.

    Use `dataclasses.replace` to change a part. Keep the object: every new one is compiled anew.

    Attributes:
        optimizer: any optax transformation; one with a line search is given the objective.
        num_iterations: number of its steps.
        matching_loss: compares the matched leaves.
        leaf_weights: which leaves are matched.
        regularizer: added to the loss; a function of the inputs, not of the labels.
        project: applied to the inputs after every step.
        initialize: where the search starts.
        num_restarts: number of searches from different starts, run in parallel; the one with the
            least matching loss wins.
    """

    optimizer: optax.GradientTransformation
    num_iterations: int
    matching_loss: MatchingLoss = squared_distance
    leaf_weights: LeafWeights = every_leaf
    regularizer: Regularizer | None = None
    project: Projection | None = None
    initialize: Initialize = standard_normal
    num_restarts: int = 1

    def __post_init__(self) -> None:
        for name in ("num_iterations", "num_restarts"):
            check_count(name, getattr(self, name))


def dlg(
    num_iterations: int = 2000,
    *,
    leaf_weights: LeafWeights = every_leaf,
    num_restarts: int = 1,
) -> GradientMatching:
    """Deep Leakage from Gradients, Zhu, Liu, Han 2019 (arXiv 1906.08935).

    Squared distance and L-BFGS from a standard normal start. As published it searches for the
    label too: give `invert` ``num_classes`` and not ``labels``. The authors take up to
    6,000 steps of length 1 with a memory of 100; ours have a line search, which does not diverge.

    Args:
        num_iterations: number of L-BFGS steps.
        leaf_weights: which leaves are matched.
        num_restarts: number of searches in parallel.

    Returns:
        The attack.
    """
    return GradientMatching(
        optax.lbfgs(memory_size=_MEMORY_SIZE),
        num_iterations,
        squared_distance,
        leaf_weights,
        num_restarts=num_restarts,
    )


def inverting_gradients(
    num_iterations: int = 600,
    *,
    limits: tuple[ArrayLike, ArrayLike] | None,
    learning_rate: float = 0.2,
    total_variation_weight: float = 3e-2,
    leaf_weights: LeafWeights = every_leaf,
    num_restarts: int = 1,
) -> GradientMatching:
    """Inverting Gradients, Geiping et al. 2020 (arXiv 2003.14053).

    Cosine distance and total variation; Adam on the sign of the gradient, its learning rate times
    0.1 after 3/8, 5/8 and 7/8 of the iterations; inputs projected to a box after every step. The
    labels are usually known, see `count_labels`. On a network with ReLUs the search goes further
    with the gradient of `surrogate_relu`.

    Args:
        num_iterations: number of steps.
        limits: least and greatest value of an input, numbers or values per channel, such as those
            of black and white after standardization; None for no box.
        learning_rate: the first, in units of the inputs per step; the default suits standardized
            inputs.
        total_variation_weight: weight of `total_variation`, per unit of the inputs; the default
            suits standardized images; 0 for inputs that are not images.
        leaf_weights: which leaves are matched.
        num_restarts: number of searches in parallel.

    Returns:
        The attack.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_positive("learning_rate", learning_rate)
    check_nonnegative("total_variation_weight", total_variation_weight)
    drops = {int(num_iterations * eighths / 8): 0.1 for eighths in (3, 5, 7)}
    schedule = optax.piecewise_constant_schedule(learning_rate, drops)

    def regularizer(inputs: PyTree) -> Float[Array, ""]:
        return total_variation_weight * total_variation(inputs)

    return GradientMatching(
        optax.chain(optax.scale_by_sign(), optax.adam(schedule)),
        num_iterations,
        cosine_distance,
        leaf_weights,
        regularizer if total_variation_weight else None,
        None if limits is None else box(*limits),
        num_restarts=num_restarts,
    )
