"""Attacks whose shadows are balanced find nothing where there is nothing, whatever models do."""

import jax
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from gujax.attacks.membership import lira, rmia, scaled_confidence, vector_lira
from gujax.attacks.membership._shadows import leave_one_out
from gujax.training import random_halves

M, N, C = 6, 60, 4


def models_that_differ(rng):
    """Logits that know nothing of members; models differ as wholes, and heavily."""
    effects = np.einsum("mk,nkc->mnc", rng.standard_t(2, size=(M, 2)), rng.normal(size=(N, 2, C)))
    return 0.3 * rng.normal(size=(M, N, C)) + effects


def attacks(logits, y, members, **options):
    z = np.linspace(0.1, 0.9, M * 5).reshape(M, 5)
    confidence = np.take_along_axis(softmax(logits, axis=-1), y[None, :, None], -1)[..., 0]
    return {
        "lira": lira(
            scaled_confidence(logits, y), members, variance="shrunk", shared=True, **options
        ),
        "vector": vector_lira(logits, y, members, **options),
        "rmia": rmia(confidence, members, z, **options),
    }


def auc_within_models(scores, members):
    """Share of pairs, a member and another of the same model, in the right order."""
    return np.mean([roc_auc_score(m, s) for s, m in zip(scores, members)])


def test_what_leaks_nothing_is_at_chance_where_models_differ_as_wholes():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        members = np.asarray(random_halves(jax.random.key(seed), M, N))
        logits, y = models_that_differ(rng), rng.integers(0, C, N)
        scores = attacks(logits, y, members, complements=True)
        found.append([auc_within_models(of, members) for of in scores.values()])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(60)
    assert (np.abs(mean - 0.5) < 4 * error).all()


def test_one_variance_is_no_longer_below_chance():
    found = {True: [], False: []}
    for seed in range(60):
        members = np.asarray(random_halves(jax.random.key(seed), M, N))
        phi = np.random.default_rng(seed).normal(size=(M, N))
        for complements, values in found.items():
            scores = lira(phi, members, complements=complements)
            values.append(auc_within_models(scores, members))
    error = np.std(found[True]) / np.sqrt(60)
    assert abs(np.mean(found[True]) - 0.5) < 4 * error
    assert np.mean(found[False]) < 0.5 - 4 * error


def test_the_complement_is_no_shadow():
    rng = np.random.default_rng(0)
    members = np.asarray(random_halves(jax.random.key(0), M, N))
    logits, y = rng.normal(size=(M, N, C)), rng.integers(0, C, N)
    scores = attacks(logits, y, members, complements=True)
    changed = logits.copy()
    changed[M // 2 + 1] += rng.normal(size=(N, C))
    for name, again in attacks(changed, y, members, complements=True).items():
        np.testing.assert_allclose(again[1], scores[name][1], rtol=1e-9, atol=1e-9)
        assert not np.allclose(again[0], scores[name][0])
    without = leave_one_out(logits[:, :, 0], members, complements=True)
    assert (without.num_models == M // 2 - 1).all()
    others = [m for m in range(M) if m not in (1, M // 2 + 1)]
    expected = [logits[others][members[others, n], n, 0] for n in range(N)]
    np.testing.assert_allclose(without.mean[1], [e.mean() for e in expected])
    np.testing.assert_allclose(without.variance[1], [e.var(ddof=1) for e in expected])


@pytest.mark.parametrize("kind", ["few", "not paired"])
def test_models_that_are_no_complements(kind):
    members = np.asarray(random_halves(jax.random.key(0), 4 if kind == "few" else 6, N)).copy()
    if kind == "not paired":
        members[0, 0] = ~members[0, 0]
    phi = np.random.default_rng(0).normal(size=members.shape)
    with pytest.raises(ValueError, match="complements=True needs 6 models or more, each half"):
        lira(phi, members, complements=True)
