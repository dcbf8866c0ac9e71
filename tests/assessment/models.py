"""Models that gujax did not train: logistic regression by Newton's method, on noisy classes."""

import numpy as np

from tests.prediction.problems import fit_logistic, logistic_pool

MEMBERS, HELD_OUT, FEATURES, RIDGE = 250, 250, 60, 4.0


def logits(params, x):
    """Logits of a batch, two classes."""
    z = x @ params["w"]
    return np.stack([0, 1]) * z[:, None]


def problem(seed=0):
    """Inputs and classes of members and held-out examples."""
    rows, _ = logistic_pool(seed, MEMBERS, HELD_OUT, FEATURES)
    y = np.random.default_rng(seed + 1).integers(0, 2, len(rows))
    return (rows * (2 * y - 1)[:, None]).astype(np.float32), y


def fit(x, y, mask, target=1.0):
    """Parameters trained on a part of the examples, with soft labels if the target is below 1."""
    signed = (x * (2 * y - 1)[:, None])[mask].astype(float)
    return {"w": fit_logistic(signed, RIDGE, target=target).astype(np.float32)}
