"""How exposed each single example is."""

import numpy as np
from jaxtyping import Bool, Float

from gujax.attacks.membership._checks import check_members


def auc_of_examples(
    phi: Float[np.ndarray, "models examples"], members: Bool[np.ndarray, "models examples"]
) -> Float[np.ndarray, " examples"]:
    """AUC of the likelihood-ratio attack on each example alone, over models; unbiased.

    For an example, each pair of a model trained with it and one trained without is attacked with
    the *other* models as shadows, and the AUC is the share of pairs that are told apart
    (leave-pair-out; Airola et al. 2011, Computational Statistics & Data Analysis 55). With one
    variance for both sides, the likelihood ratio of `lira` grows with φ or falls with it, so that
    only the direction of the shadows' means counts:

        mean over pairs (i, o) of [sign(φ_i − φ_o) = sign(m_in − m_out)],  ties count one half.

    Scores of which each model's shadows hold all others are no ground for such an AUC: models'
    scores then move against each other, and an example that leaks nothing gets 0.44 to 0.46 with
    few models in place of 0.5.

    Args:
        phi: signal of each model on each example, [M, N]; `scaled_confidence`.
        members: whether the model was trained on the example, [M, N].

    Returns:
        AUCs, [N]; NaN for an example with fewer than two models on a side.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, or φ is not finite.
    """
    phi, members = check_members("phi", phi, members)
    if phi.ndim != 2:
        raise ValueError(f"phi has shape {phi.shape}, needed is (models, examples)")
    phi = phi - phi.mean(axis=0)
    inside, outside = members.sum(axis=0), (~members).sum(axis=0)
    total_in, total_out = (np.where(side, phi, 0).sum(axis=0) for side in (members, ~members))
    told, count = np.zeros(phi.shape[1]), inside * outside
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_out = (total_out - phi) / (outside - 1)
        for of_in, is_in in zip(phi, members):  # one by one: pairs are M² N
            mean_in = (total_in - of_in) / (inside - 1)
            agree = np.sign(of_in - phi) * np.sign(mean_in - mean_out)
            told += np.where(is_in & ~members, (1 + agree) / 2, 0.0).sum(axis=0)
        return np.where(np.minimum(inside, outside) > 1, told / count, np.nan)
