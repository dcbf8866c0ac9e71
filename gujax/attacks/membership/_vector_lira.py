"""The likelihood-ratio attack on all that a model answers."""

import numpy as np
from jaxtyping import Bool, Float, Int

from gujax.attacks.membership._checks import check_members
from gujax.attacks.membership._shadows import check_complements, complement_of
from gujax.attacks.membership._shrinkage import shrink_variances
from gujax.attacks.membership._signals import scaled_confidence

# Share of the mean variance that is added to each, so that a precision exists.
_RIDGE = 1e-6


def vector_lira(
    logits: Float[np.ndarray, "models examples classes"],
    y: Int[np.ndarray, " examples"],
    members: Bool[np.ndarray, "models examples"],
    *,
    complements: bool = False,
) -> Float[np.ndarray, "models examples"]:
    """Likelihood-ratio attack on the logits and the margin together, rather than on the margin.

    `lira` with ``variance="shrunk", shared=True``, in several dimensions: f are the logits but one,
    less their mean over classes, beside `scaled_confidence`; for two classes the latter alone. Of
    the shadows' f of each example there are the mean of those trained with it and of those trained
    without, and a covariance v_n Σ that both share: its shape Σ is pooled within all examples of a
    target, its scale v_n is the example's own, shrunk by `shrink_variances`. (A covariance of
    each example's own would need many more models than logits.) The score is the log of the ratio
    of the two predictive densities, of Student's t,

        ½ (ν + p) (log(1 + z²_out/ν) − log(1 + z²_in/ν)),
        z² = (f − m)ᵀ Σ⁻¹ (f − m) / (v (1 + 1/k)),

    with p features, k shadow models on the side and ν degrees of freedom of v.

    Args:
        logits: of each model on each example, [M, N, classes].
        y: labels, whole numbers from 0 on, [N].
        members: whether the model was trained on the example, [M, N].
        complements: whether models are halves and their complements, so that no target's complement
            is its shadow; see `lira`.

    Returns:
        Scores, [M, N], higher meaning "member"; NaN where an example has no shadow on a side.
        Needs memory for N p² numbers.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, logits are not finite or
            of fewer than two classes, or ``y`` has not one class for each example.
    """
    logits, members = check_members("logits", logits, members)
    margin = scaled_confidence(logits, y)[..., None]
    if logits.shape[-1] > 2:
        centered = logits - logits.mean(axis=-1, keepdims=True)
        features = np.concatenate([centered[..., :-1], margin], axis=-1)
    else:
        features = margin
    features = features - features.mean(axis=0)
    totals = [np.where(side[..., None], features, 0).sum(axis=0) for side in (members, ~members)]
    products = np.einsum("mnp,mnq->npq", features, features)
    left_out = np.arange(len(members))[:, None]
    if complements:
        check_complements(members)
        left_out = np.column_stack([left_out, complement_of(len(members))])
    return np.stack([_of_target(rows, features, members, totals, products) for rows in left_out])


def _of_target(
    left_out: Int[np.ndarray, " models"],
    features: np.ndarray,
    members: np.ndarray,
    totals: list[np.ndarray],
    products: Float[np.ndarray, "examples features features"],
) -> Float[np.ndarray, " examples"]:
    """Scores of one target, the first of those left out, all other models being its shadows."""
    f, p = features[left_out[0]], features.shape[-1]
    scatter = products - np.einsum("mnp,mnq->npq", features[left_out], features[left_out])
    degrees = np.zeros(len(f))
    sides = []
    for side, total in zip((members, ~members), totals):
        own = side[left_out]
        count = side.sum(axis=0) - own.sum(axis=0)
        taken = np.where(own[..., None], features[left_out], 0).sum(axis=0)
        mean = (total - taken) / np.maximum(count, 1)[:, None]
        scatter -= count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        degrees += np.maximum(count - 1, 0)
        sides.append((mean, count))
    shape = scatter.sum(axis=0) / max(degrees.sum(), 1)
    shape += _RIDGE * np.trace(shape) / p * np.eye(p) + np.finfo(float).tiny * np.eye(p)
    precision = np.linalg.inv(shape)
    squares = np.maximum(np.einsum("npq,pq->n", scatter, precision), 0)
    shrunk = shrink_variances(squares[None], p * degrees[None])
    variance, known = shrunk.variance[0], shrunk.degrees[0]

    def surprise(mean: np.ndarray, count: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            widened = variance * np.where(count > 0, 1 + 1 / count, np.nan)
        squared = np.einsum("np,pq,nq->n", f - mean, precision, f - mean, optimize=True) / widened
        return np.log1p(squared / known)

    inside, outside = (surprise(*side) for side in sides)
    return 0.5 * (known + p) * (outside - inside)
