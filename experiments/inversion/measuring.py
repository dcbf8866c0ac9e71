"""What attacks found, example by example."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float, PRNGKeyArray, PyTree

import gujax
from experiments.inversion.search import Outcome
from experiments.inversion.sharing import Received, SharedUpdate, Victims
from experiments.inversion.space import Space
from gujax.attacks import inversion

SCHEMA = {
    "defense": pl.String,
    "family": pl.String,
    "attack": pl.String,
    "id": pl.Int32,
    "label": pl.Int32,
    "mse": pl.Float64,
    "psnr": pl.Float64,
    "ssim": pl.Float64,
    "feature_error": pl.Float64,
    "success": pl.Boolean,
    "label_recovered": pl.Boolean,
    "matching_loss": pl.Float64,
    "refusal": pl.String,
}
ERROR_THRESHOLD = 0.1  # a smaller relative error of inputs that are no images is a success


def rows(
    received: Received,
    attack: str,
    outcome: Outcome,
    victims: Victims,
    space: Space,
    ssim_threshold: float = 0.6,
) -> pl.DataFrame:
    """One row per example, with the columns of `SCHEMA`; what an attack does not give is null.

    Success is an SSIM above the threshold for images, a relative error below `ERROR_THRESHOLD` for
    other inputs. MSE, PSNR and SSIM are of the data set's own values, the relative error is of
    standardized inputs.
    """
    columns: dict[str, Any] = {"id": victims.ids, "label": victims.y}
    if outcome.inputs is not None:
        columns |= _quality(outcome.inputs, victims, space, ssim_threshold)
    if outcome.labels is not None:
        columns["label_recovered"] = np.asarray(outcome.labels) == victims.y
    if outcome.matching_loss is not None:
        columns["matching_loss"] = np.asarray(outcome.matching_loss)
    if outcome.refusals is not None:
        columns["refusal"] = outcome.refusals
    measured = pl.DataFrame(columns, schema_overrides=SCHEMA).with_columns(
        defense=pl.lit(received.shared.label),
        family=pl.lit(received.shared.family),
        attack=pl.lit(attack),
    )
    return pl.concat([pl.DataFrame(schema=SCHEMA), measured], how="diagonal")


def victim_uniqueness(
    shared: SharedUpdate,
    params: PyTree,
    victims: Victims,
    reference: Victims,
    key: PRNGKeyArray,
    relative_ridge: float = 0.1,
) -> Float[np.ndarray, " examples"]:
    """GNQ of every victim's gradient within a batch of the victims and reference examples.

    Args:
        shared: Whose loss; of a randomized one, with a draw for every example.
        params: The parameters at which the updates were shared.
        victims: N examples.
        reference: The other examples of the batch.
        key: PRNG key of the loss's noise.
        relative_ridge: Ridge over the mean squared gradient norm of the batch.
    """
    x = np.concatenate([victims.x, reference.x])
    y = np.concatenate([victims.y, reference.y])
    batch = (x, y, jax.random.split(key, len(y))) if shared.randomized else (x, y)
    kernel = gujax.gram(gujax.per_example_grads(shared.loss_fn)(params, batch))
    gnq = gujax.uniqueness(kernel, relative_ridge=relative_ridge)
    return np.asarray(gnq[: len(victims)], np.float64)


def _quality(
    inputs: Float[np.ndarray, "examples ..."], victims: Victims, space: Space, ssim_threshold: float
) -> dict[str, np.ndarray]:
    found, truth = space.restore(inputs), space.restore(victims.x)
    moved = jnp.asarray(space.standardize(found))
    error = np.asarray(inversion.feature_error(moved, jnp.asarray(victims.x)), np.float64)
    if space.is_image:
        images = jnp.asarray(found, jnp.float32), jnp.asarray(truth, jnp.float32)
        quality = inversion.image_quality(*images, ssim_threshold=ssim_threshold)._asdict()
        return {"feature_error": error} | {name: np.asarray(of) for name, of in quality.items()}
    mse = np.mean((found - truth) ** 2, axis=tuple(range(1, found.ndim)))
    return {"mse": mse, "feature_error": error, "success": error < ERROR_THRESHOLD}
