"""The log-odds of the true class, of which cross-entropy is a function."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gujax.validation import as_float, is_concrete


def signal(
    logits: Float[Array, "*examples classes"], label: Int[Array, "*examples"]
) -> Float[Array, "*examples"]:
    """Log-odds of the true class, φ = log(p_y / (1 − p_y)).

    Cross-entropy is log(1 + exp(−φ)), whatever the number of classes. Computed as z_y minus the
    logsumexp of the other logits: value and gradient are finite where p_y rounds to 0 or 1.

    Args:
        logits: [..., C], C ≥ 2. Half precision is computed in float32.
        label: classes from 0 to C − 1, integers, [...].

    Returns:
        φ, [...], differentiable in ``logits``.

    Raises:
        ValueError: there are fewer than 2 classes, labels are not integers (one-hot, say) or have
            another shape than the logits without their last axis, or, outside jit, are no classes.

    Source: Carlini et al. 2022, arXiv 2112.03570, section V.
    """
    logits = as_float(logits)
    if logits.ndim == 0 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits have shape {logits.shape}; the last axis must hold 2 classes or more (for one "
            "logit z of a binary classifier, pass jnp.stack([0 * z, z], axis=-1))"
        )
    _check_labels("label", label, logits.shape[:-1], logits.shape[-1])
    label = jnp.asarray(label)
    is_true = jnp.arange(logits.shape[-1]) == label[..., None]
    others = jax.nn.logsumexp(logits, axis=-1, where=~is_true)
    return jnp.sum(jnp.where(is_true, logits, 0), axis=-1) - others


def _check_labels(name: str, label: Any, shape: tuple[int, ...], num_classes: int) -> None:
    """Check that labels are class numbers, one for each example, any shape and traced or not.

    Args:
        name: the argument's name, for the message.
        label: the labels; of traced ones, for which `gujax.validation.class_labels` is not, type
            and shape are checked.
        shape: of the examples.
        num_classes: C.

    Raises:
        ValueError: they are not.
    """
    found = jnp.shape(label)
    if found == (*shape, num_classes) and found != shape:
        raise ValueError(
            f"{name} has shape {found}, as one-hot labels have; pass class numbers, such as "
            f"{name}.argmax(-1)"
        )
    if found != shape:
        raise ValueError(f"{name} has shape {found}, expected {shape}: one class per example")
    if not jnp.issubdtype(jnp.result_type(label), jnp.integer):
        raise ValueError(
            f"{name} is of type {jnp.result_type(label)}; classes are integers from 0 to "
            f"{num_classes - 1}"
        )
    if is_concrete(label) and np.size(label):
        low, high = int(np.min(label)), int(np.max(label))
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"{name} holds {low if low < 0 else high}; with {num_classes} logits, classes are "
                f"0 to {num_classes - 1}"
            )
