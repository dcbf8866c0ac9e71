"""What attacks found, example by example."""

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
}


def rows(
    received: Received,
    attack: str,
    outcome: Outcome,
    victims: Victims,
    space: Space,
    ssim_threshold: float = 0.6,
    error_threshold: float = 0.1,
) -> pl.DataFrame:
    """One row per example; what an attack does not give is null.

    Success is an SSIM above the threshold for images, a relative error below the other threshold
    for other inputs. MSE, PSNR and SSIM are of the data set's own values, the relative error is of
    standardized inputs.

    Args:
        received: What was attacked.
        attack: Name of the attack.
        outcome: What it found.
        victims: The truth.
        space: What the inputs are.
        ssim_threshold: For images.
        error_threshold: For other inputs.

    Returns:
        A table with the columns of `SCHEMA`, [N] rows.
    """
    size = len(victims.y)
    columns: dict[str, object] = {
        "defense": [received.shared.label] * size,
        "family": [received.shared.family] * size,
        "attack": [attack] * size,
        "id": victims.ids,
        "label": victims.y,
    }
    if outcome.inputs is not None:
        columns |= _quality(outcome.inputs, victims, space, ssim_threshold, error_threshold)
    if outcome.labels is not None:
        columns["label_recovered"] = np.asarray(outcome.labels) == victims.y
    if outcome.matching_loss is not None:
        columns["matching_loss"] = np.asarray(outcome.matching_loss, np.float64)
    missing = {name: [None] * size for name in SCHEMA if name not in columns}
    return pl.DataFrame({**columns, **missing}, schema_overrides=SCHEMA).select(*SCHEMA)


def victim_uniqueness(
    shared: SharedUpdate,
    params: PyTree,
    victims: Victims,
    reference: Victims,
    key: PRNGKeyArray,
    relative_ridge: float = 0.1,
) -> Float[np.ndarray, "examples"]:
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
    return np.asarray(gnq[: len(victims.y)], np.float64)


def _quality(
    inputs: Float[np.ndarray, "examples ..."],
    victims: Victims,
    space: Space,
    ssim_threshold: float,
    error_threshold: float,
) -> dict[str, object]:
    found, truth = space.restore(inputs), space.restore(victims.x)
    moved = jnp.asarray(space.standardize(found))
    error = np.asarray(inversion.feature_error(moved, jnp.asarray(victims.x)), np.float64)
    if not space.is_image:
        mse = np.mean((found - truth) ** 2, axis=tuple(range(1, found.ndim)))
        return {"mse": mse, "feature_error": error, "success": error < error_threshold}
    quality = inversion.image_quality(
        jnp.asarray(found, jnp.float32),
        jnp.asarray(truth, jnp.float32),
        ssim_threshold=ssim_threshold,
    )
    return {
        "mse": np.asarray(quality.mse, np.float64),
        "psnr": np.asarray(quality.psnr, np.float64),
        "ssim": np.asarray(quality.ssim, np.float64),
        "feature_error": error,
        "success": np.asarray(quality.success),
    }
