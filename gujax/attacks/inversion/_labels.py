"""Labels from the gradient of the last layer."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gujax.validation import check_count


def idlg_label(kernel_gradient: Float[Array, "features classes"]) -> Int[Array, ""]:
    """The label of one example under cross-entropy, iDLG (Zhao et al. 2020, arXiv 2001.02610).

    Column c of the gradient is (p_c - [c = y]) times the features, so only the label's column
    points against the features. Assumes features that are not negative, as after ReLU or sigmoid.

    Args:
        kernel_gradient: gradient of the last layer's kernel, [features, classes].

    Returns:
        The label.
    """
    return jnp.argmin(jnp.sum(kernel_gradient, axis=0))


@partial(jax.jit, static_argnames="batch_size")
def count_labels(
    bias_gradient: Float[Array, " classes"],
    batch_size: int,
    mean_probabilities: Float[Array, " classes"] | None = None,
) -> Int[Array, " batch"]:
    """The labels of a batch under mean cross-entropy, from the last layer's bias.

    Entry c of the gradient is mean p_c - n_c / B, with n_c examples of class c. A negative entry
    proves n_c ≥ 1 (Yin et al. 2021, arXiv 2104.07586); then, one example at a time goes to the
    class whose estimated count B (mean p_c - gradient_c) is least used up (after Wainakh et al.
    2022, arXiv 2105.09369). Always right for B = 1; for a larger batch as good as the estimate
    of mean p.

    Args:
        bias_gradient: gradient of the last layer's bias, [classes].
        batch_size: number of examples B.
        mean_probabilities: the attacker's estimate of the model's mean predicted probabilities,
            [classes], as from inputs of its own; uniform if None, which fits an untrained model.

    Returns:
        The labels in ascending order, [B].

    Raises:
        ValueError: if ``batch_size`` is not positive or shapes do not fit.
    """
    check_count("batch_size", batch_size)
    (num_classes,) = bias_gradient.shape
    if mean_probabilities is None:
        mean_probabilities = jnp.full(num_classes, 1 / num_classes, bias_gradient.dtype)
    if mean_probabilities.shape != bias_gradient.shape:
        raise ValueError(
            f"mean_probabilities has shape {mean_probabilities.shape}, bias_gradient "
            f"{bias_gradient.shape}; both must be (classes,)"
        )
    counts = batch_size * (mean_probabilities - bias_gradient)
    # A proven class comes before all others, the most negative first.
    proven = jnp.where(bias_gradient < 0, batch_size - bias_gradient, 0)

    def assign(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Int[Array, ""]]:
        counts, proven = carry
        label = jnp.argmax(counts + (num_classes + batch_size) * proven)
        return (counts.at[label].add(-1), proven.at[label].set(0)), label

    _, labels = jax.lax.scan(assign, (counts, proven), length=batch_size)
    return jnp.sort(labels)
