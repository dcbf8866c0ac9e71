"""What an attacker sees: every layer's gradients of a pool of examples, under every condition."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

import gujax
from experiments.framework.errors import check_option
from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.options import RANK
from gujax.leakage import assign_folds, coordinates_from_gram, split_layers
from gujax.training import LossFn

WHOLE = "all layers"  # beside the layers: the gradient of all parameters


class Pool(NamedTuple):
    """Examples whose gradients are looked at.

    Attributes:
        indices: Their places in the training split, [examples].
        attribute: The value of the private attribute of each, [examples].
        folds: The fold of each: predictors of one fold are trained on the others, [examples].
    """

    indices: Int[np.ndarray, " examples"]
    attribute: Int[np.ndarray, " examples"]
    folds: Int[np.ndarray, " examples"]


class LayerGradients(NamedTuple):
    """Gradients of one layer, one for each example of a pool.

    Attributes:
        rows: Coordinates in the pool's first singular directions, [examples, rank].
        gram: Inner products, [examples, examples].
        num_parameters: Of the layer.
    """

    rows: Float[np.ndarray, "examples rank"]
    gram: Float[np.ndarray, "examples examples"]
    num_parameters: int

    @property
    def norms(self) -> Float[np.ndarray, " examples"]:
        """Norm of every gradient."""
        return np.sqrt(np.maximum(np.diag(self.gram), 0))


class Observed(NamedTuple):
    """What one layer shares under one condition, one row for each example of the pool.

    Attributes:
        rows: Coordinates of the shared gradients, [examples, rank].
        features: Their first principal coordinates, which predictors are given, [examples, width].
        norms: Root mean square norm of the shared gradient over the noise, [examples].
    """

    rows: Float[np.ndarray, "examples rank"]
    features: Float[np.ndarray, "examples width"]
    norms: Float[np.ndarray, " examples"]


def draw_pool(attribute: Int[np.ndarray, " train"], size: int, num_folds: int, seed: int) -> Pool:
    """A pool at random, in random order; its attribute is spread evenly over the folds."""
    indices = np.random.default_rng(seed).permutation(len(attribute))[:size]
    chosen = attribute[indices]
    return Pool(indices, chosen, assign_folds(chosen, num_folds, seed=seed))


def check_pool(pool: Pool, width: int, largest_batch: int) -> None:
    """Raises `UserError` unless a pool has what predictors and batches need."""
    size, num_folds = len(pool.indices), int(pool.folds.max()) + 1
    # As `gujax.leakage.v_information` asks for.
    needed = max(10 * num_folds, -(-(width + 1) * num_folds // (num_folds - 2)), RANK + 1)
    check_option(
        size >= needed,
        f"--examples {size} are fewer than the {needed} that predictors of --width {width} with "
        f"--folds {num_folds} need; take more examples or a smaller width",
    )
    smallest = min(
        int(np.sum((pool.folds == fold) & (pool.attribute == value)))
        for fold in range(num_folds)
        for value in np.unique(pool.attribute)
    )
    check_option(
        smallest >= max(largest_batch, 2),
        f"--examples {size}: a fold has only {smallest} of them with one value of the attribute, "
        f"too few for batches of {largest_batch} that share it; take more examples, smaller "
        "--batch-sizes or a less lopsided --attribute (of a feature, one value against the others: "
        "--attribute FEATURE:VALUE)",
    )


def shuffled(pool: Pool, seed: int) -> Int[np.ndarray, " examples"]:
    """The attribute in random order within every fold, so that nothing can be inferred."""
    rng, values = np.random.default_rng(seed), pool.attribute.copy()
    for fold in np.unique(pool.folds):
        here = pool.folds == fold
        values[here] = rng.permutation(values[here])
    return values


def companions(pool: Pool, condition: Condition, seed: int) -> Int[np.ndarray, "examples batch"]:
    """The batch of every example, itself first.

    The others come from its own fold, so that no predictor is trained on a batch that has members
    in common with those that it is tested on.

    Returns:
        Indices into the pool.
    """
    rng = np.random.default_rng(seed)
    batches = []
    for example, fold in enumerate(pool.folds):
        others = pool.folds == fold
        if condition.alike:
            others &= pool.attribute == pool.attribute[example]
        others[example] = False
        drawn = rng.choice(np.flatnonzero(others), condition.batch_size - 1, replace=False)
        batches.append([example, *drawn])
    return np.array(batches)


def layer_gradients(
    loss_fn: LossFn, params: PyTree, batch: PyTree, layers: Sequence[str]
) -> dict[str, LayerGradients]:
    """Gradients of every example of a batch, by layer and of all parameters together."""
    sizes = {
        name: sum(leaf.size for leaf in leaves.values())
        for name, leaves in split_layers(params, layers).items()
    }
    sizes[WHOLE] = sum(leaf.size for leaf in jax.tree.leaves(params))
    grams = jax.device_get(_grams(loss_fn, tuple(layers), params, batch))
    return {
        name: LayerGradients(
            coordinates_from_gram(gram, RANK, center=False), gram.astype(np.float64), sizes[name]
        )
        for name, gram in grams.items()
    }


def observe(
    gradients: Mapping[str, LayerGradients],
    batches: Int[np.ndarray, "examples batch"],
    noise: float,
    width: int,
    seed: int,
) -> dict[str, Observed]:
    """What is shared of each layer when batches are averaged and noise is added.

    The attacker knows the model and can compute gradients without noise, so principal directions
    are those of the noiseless gradients. In any orthonormal directions, noise of the same standard
    deviation on every entry is noise of that standard deviation on every coordinate.

    Args:
        gradients: Of every layer.
        batches: Which examples each shared gradient is the mean of.
        noise: Standard deviation over the median norm of the whole gradient of one example.
        width: Number of principal coordinates.
        seed: Of the noise.
    """
    deviation = noise * np.median(gradients[WHOLE].norms)
    rng = np.random.default_rng(seed)
    observed = {}
    for name, layer in gradients.items():
        rows = layer.rows[batches].mean(axis=1)
        # Squared norm of a mean: the mean of all inner products within the batch.
        within = layer.gram[batches[:, :, None], batches[:, None, :]].mean(axis=(1, 2))
        features = _principal(rows, width)
        observed[name] = Observed(
            rows + deviation * rng.standard_normal(rows.shape),
            features + deviation * rng.standard_normal(features.shape),
            np.sqrt(np.maximum(within, 0) + layer.num_parameters * deviation**2),
        )
    return observed


def _principal(
    rows: Float[np.ndarray, "examples rank"], width: int
) -> Float[np.ndarray, "examples width"]:
    left, scales, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return (left * scales)[:, :width]


@partial(jax.jit, static_argnames=("loss_fn", "layers"))
def _grams(
    loss_fn: LossFn, layers: tuple[str, ...], params: PyTree, batch: PyTree
) -> dict[str, jax.Array]:
    grads = gujax.per_example_grads(loss_fn)(params, batch)
    grams = {name: gujax.gram(leaves) for name, leaves in split_layers(grads, layers).items()}
    return {**grams, WHOLE: gujax.gram(grads)}
