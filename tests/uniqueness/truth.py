"""Reference values in parameter space, written without any of the code under test."""

import mpmath
import numpy as np


def gnq_by_definition(gradients, ridge):
    """GNQ from one dense P x P leave-one-out matrix per example, in float64."""
    batch, parameters = gradients.shape
    out = np.empty(batch)
    for j in range(batch):
        others = np.delete(gradients, j, axis=0)
        g = gradients[j]
        second_moment = others.T @ others
        if ridge:
            out[j] = g @ np.linalg.solve(second_moment + ridge * np.eye(parameters), g)
            continue
        # g leaves the span of the others if the projection leaves a remainder.
        remainder = g - others.T @ np.linalg.lstsq(others.T, g)[0] if len(others) else g
        leaves = np.linalg.norm(remainder) > 1e-6 * np.linalg.norm(g)
        out[j] = np.inf if leaves else g @ np.linalg.pinv(second_moment) @ g
    return out


def gnq_in_many_digits(gradients, ridge):
    """GNQ with 80 digits, so that no range of norms matters: 1 / (ridge [A^-1]_jj) - 1."""
    with mpmath.workdps(80):
        g = mpmath.matrix(gradients.tolist())
        inverse = (g * g.T + mpmath.mpf(ridge) * mpmath.eye(len(gradients))) ** -1
        return np.array([float(1 / (ridge * inverse[j, j]) - 1) for j in range(len(gradients))])
