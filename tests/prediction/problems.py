"""Convex problems with their exact answers, in float64 and without the code under test."""

import numpy as np
from scipy.special import expit


def fit_logistic(signed, ridge, start=None, target=1.0):
    """Minimizer of Σ log(1 + exp(−θ·x)) + ridge/2 |θ|², by Newton's method; rows are y x.

    With a target below 1 labels are soft: that is the probability of the own class.
    """
    theta = np.zeros(signed.shape[1]) if start is None else start.copy()
    for _ in range(100):
        phi = signed @ theta
        slope = ridge * theta - signed.T @ (target - expit(phi))
        weights = expit(phi) * expit(-phi)
        curvature = signed.T @ (weights[:, None] * signed) + ridge * np.eye(len(theta))
        step = np.linalg.solve(curvature, slope)
        theta -= step
        if np.abs(step).max() < 1e-13:
            return theta
    raise AssertionError("Newton's method did not converge")


def logistic_pool(seed, members, held_out, features):
    """Rows y x of a logistic model with noisy labels, and which are members."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(members + held_out, features))
    truth = rng.normal(size=features) / np.sqrt(features) * 2
    y = np.where(rng.random(len(x)) < expit(x @ truth), 1.0, -1.0)
    return y[:, None] * x, np.arange(len(x)) < members


def random_pool(seed, size, parameters, scale=1.0):
    """Gradients, signals and members without structure; both sides have at least two."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(size, parameters)) * rng.uniform(0.3, 3, (size, 1))
    members = rng.permutation(size) < max(2, size // 2)
    phi = rng.normal(size=size) * scale
    return gradients, phi, members
