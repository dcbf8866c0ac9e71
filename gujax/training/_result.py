"""What training gives back."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int, PyTree

from gujax.training._batches import BatchPlan
from gujax.transforms import AggregationState


class StepMetrics(NamedTuple):
    """What happened in each step, [epochs, steps] for one model, [M, epochs, steps] for many.

    Numpy arrays, once training has ended.

    Attributes:
        loss: mean loss of the batch, before the step.
        batch_size: number of examples in the batch.
        contributing: number of them with a positive weight in the update.
        max_uniqueness: largest GNQ in the batch; None if the optimizer does not measure it.
        overflow: number of examples drawn by Poisson sampling that found no slot.
    """

    loss: Float[Array, "*models epochs steps"]
    batch_size: Int[Array, "*models epochs steps"]
    contributing: Int[Array, "*models epochs steps"]
    max_uniqueness: Float[Array, "*models epochs steps"] | None
    overflow: Int[Array, "*models epochs steps"]


class EpochMetrics(NamedTuple):
    """Accuracy after each epoch, [epochs] or [M, epochs]; None where not asked for.

    Attributes:
        train_accuracy: over the members.
        test_accuracy: over the test split.
    """

    train_accuracy: Float[Array, "*models epochs"] | None
    test_accuracy: Float[Array, "*models epochs"] | None


class TrainResult(NamedTuple):
    """A trained model, or many.

    Attributes:
        params: parameters; each leaf has a leading axis M if many.
        opt_state: state of the optimizer, alike; see `aggregation_state`.
        steps: metrics per step.
        epochs: metrics per epoch.
        plan: how batches were drawn.
    """

    params: PyTree
    opt_state: PyTree
    steps: StepMetrics
    epochs: EpochMetrics
    plan: BatchPlan


def aggregation_state(opt_state: PyTree) -> AggregationState:
    """The state of the transformation of per-example gradients within an optimizer's state.

    Args:
        opt_state: state of an optax chain that starts with one of `gujax.transforms`.

    Returns:
        The state that has ``uniqueness``, ``weights`` and ``ledger``.

    Raises:
        ValueError: if there is none.
    """

    def is_aggregation(node: PyTree) -> bool:
        return all(hasattr(type(node), name) for name in ("weights", "ledger"))

    for node in jax.tree.leaves(opt_state, is_leaf=is_aggregation):
        if is_aggregation(node):
            return node
    raise ValueError(
        "optimizer does not start with one of gujax.transforms, so nothing reduces per-example "
        "gradients; write optax.chain(gujax.transforms.mean(), optimizer)"
    )
