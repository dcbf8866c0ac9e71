"""The definitions, in plain numpy float64, and small batches to try them on."""

import numpy as np


def gnq(G, ridge, mask=None):
    """g_jᵀ (Σ_{k≠j} g_k g_kᵀ + λI)⁻¹ g_j by one P×P solve per example; 0 for masked examples."""
    G = np.asarray(G, np.float64)
    keep = np.ones(len(G), bool) if mask is None else np.asarray(mask, bool)
    values = np.zeros(len(G))
    for j in np.flatnonzero(keep):
        others = G[keep & (np.arange(len(G)) != j)]
        S = others.T @ others + ridge * np.eye(G.shape[1])
        values[j] = G[j] @ np.linalg.solve(S, G[j])
    return values


def relative(G, fraction, mask=None):
    """The ridge as a fraction of the mean squared norm of the unmasked gradients."""
    keep = np.ones(len(G), bool) if mask is None else np.asarray(mask, bool)
    return fraction * np.mean(np.sum(np.asarray(G, np.float64)[keep] ** 2, axis=1))


def nats(values, p=0.5):
    """min(½ log(1 + GNQ), H(p))."""
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    return np.minimum(np.log1p(values) / 2, entropy)


def flatten(tree):
    """Per-example gradients {w: [B, 4, 2], b: [B, 2]} or one update, as rows."""
    w, b = np.asarray(tree["w"]), np.asarray(tree["b"])
    if b.ndim == 1:
        return np.concatenate([w.ravel(), b])
    return np.concatenate([w.reshape(len(w), -1), b], axis=1)


def unflatten(G):
    """Rows of 10 numbers as gradients {w: [B, 4, 2], b: [B, 2]}."""
    return {"w": G[..., :8].reshape(*G.shape[:-1], 4, 2), "b": G[..., 8:]}


def random_rows(seed, batch, spread=0.5):
    """Gradients with a common direction and norms that vary, [batch, 10] float32."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(batch, 10)) + rng.normal(size=10)
    return (rows * np.exp(spread * rng.normal(size=(batch, 1)))).astype(np.float32)


PARAMS = {"w": np.zeros((4, 2), np.float32), "b": np.zeros(2, np.float32)}
