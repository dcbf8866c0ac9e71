"""Differentially private SGD: clip, sum, add noise, divide by the expected batch size."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from gujax.gradients import squared_norms
from gujax.transforms._aggregation import Batch, Release, aggregate, measurement
from gujax.transforms._noise import add_noise
from gujax.transforms._scalars import Scalar, Size
from gujax.transforms._state import KeyedState
from gujax.uniqueness import noise_ridge
from gujax.validation import check_finite, check_nonnegative, check_positive

DPSGDState = KeyedState


def dp_sgd(
    l2_norm_clip: Scalar,
    noise_multiplier: Scalar,
    expected_batch_size: Scalar | Int[Array, ""],
    key: PRNGKeyArray,
    *,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
    num_examples: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Clip each gradient, sum, add Gaussian noise, divide by the expected batch size.

    The update is (Σ_i min(1, C/‖g_i‖) g_i + z) / E[B], with z ~ N(0, (noise_multiplier · C)² I),
    ‖·‖ over the whole parameter tree (Abadi et al. 2016, arXiv 1607.00133, Algorithm 1). The
    divisor is the *expected* batch size q·N: the realised size of a Poisson batch is private.
    `gujax.transforms.calibrate_noise_multiplier` gives the noise multiplier for a target (ε, δ);
    its guarantee needs batches drawn by Poisson sampling with rate q, and that the mask only
    marks padding.

    Noise is drawn in float32, or in float64 for float64 parameters. A gradient whose norm is not
    finite makes the update NaN: it is neither dropped nor released unclipped.

    With `num_examples`, the uniqueness and the ledger are kept under the ridge that the noise
    itself provides, λ = (noise_multiplier · C)² / (p(1−p)): nothing has to be assumed about the
    attacker's noise. Both are those of the clipped gradients: under DP-SGD nothing else is ever
    released, and one solve per step suffices.

    Args:
        l2_norm_clip: C, largest L2 norm of one example's contribution; positive and finite.
        noise_multiplier: standard deviation of the noise on the sum, in units of C; 0 for none.
        expected_batch_size: q·N, positive.
        key: PRNG key of the noise; it lives in the state. May be traced or batched by `vmap`.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).
        num_examples: size N of the data set; if given, a ledger is kept, `example_ids=` required.

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids=None, mask=None)` maps
        per-example gradients [B, ...] to the noisy average.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_positive("l2_norm_clip", l2_norm_clip)
    check_finite("l2_norm_clip", l2_norm_clip, "the noise is a multiple of it; use mean() for none")
    check_nonnegative("noise_multiplier", noise_multiplier)
    check_positive("expected_batch_size", expected_batch_size)
    noise_std = noise_multiplier * l2_norm_clip
    with jax.ensure_compile_time_eval():  # stays a plain number where its factors are
        measure = measurement(noise_ridge(noise_std, inclusion_probability), relative_ridge=0.0)

    def rule(batch: Batch) -> Release:
        norms = jnp.sqrt(squared_norms(batch.grads))
        clip = jnp.minimum(1.0, l2_norm_clip / norms)
        weights = jnp.where(batch.mask, jnp.where(jnp.isfinite(norms), clip, jnp.nan), 0.0)
        if num_examples is None:
            return Release(weights, expected_batch_size)
        released = measure(batch, weights).uniqueness
        return Release(weights, expected_batch_size, released, released)

    clipped_sum = aggregate(
        rule, inclusion_probability, batch_size, num_examples, measures=num_examples is not None
    )

    def init(params: PyTree) -> KeyedState:
        # A copy, so that donating the state does not delete the caller's key.
        return KeyedState(clipped_sum.init(params), jnp.copy(key))

    def update(
        updates: PyTree, state: KeyedState, params: PyTree | None = None, **extra: object
    ) -> tuple[PyTree, KeyedState]:
        released, inner = clipped_sum.update(updates, state.aggregation, params, **extra)
        next_key, noise_key = jax.random.split(state.key)
        noisy = add_noise(released, noise_std / expected_batch_size, noise_key)
        return noisy, KeyedState(inner, next_key)

    return optax.GradientTransformationExtraArgs(init, update)
