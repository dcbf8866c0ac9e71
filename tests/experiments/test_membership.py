from types import SimpleNamespace

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from experiments.membership import attacks
from experiments.membership.analysis import found_by_best, quantile_bins
from experiments.membership.attacks import auc_per_example, measures
from experiments.membership.defenses import most_disclosed
from gujax.training import random_halves
from gujax.uniqueness import predicted_auc


@pytest.fixture
def gaussian_scores():
    """Scores of members are one standard deviation above those of the others."""
    rng = np.random.default_rng(0)
    members = np.asarray(random_halves(jax.random.key(0), 16, 400))
    return rng.normal(size=members.shape) + members, members


def test_auc_per_example_is_scikit_learns(gaussian_scores):
    scores, members = gaussian_scores
    scores = np.round(scores, 1)  # with ties
    auc = auc_per_example(scores, members)
    expected = [roc_auc_score(members[:, j], scores[:, j]) for j in range(scores.shape[1])]
    np.testing.assert_allclose(auc, expected, atol=1e-12)


def test_auc_per_example_needs_balanced_members(gaussian_scores):
    scores, members = gaussian_scores
    members = members.copy()
    members[0, 0] = ~members[0, 0]
    with pytest.raises(ValueError, match="random_halves"):
        auc_per_example(scores, members)


def test_measures_of_gaussian_scores(gaussian_scores):
    scores, members = gaussian_scores
    # Standard error of the AUC of 3,200 against 3,200 scores: 0.006.
    assert measures(scores, members)["auc"] == pytest.approx(float(predicted_auc(1.0)), abs=0.02)


@pytest.mark.parametrize(("num_examples", "num_groups"), [(60, 20), (7, 7), (1, 0)])
def test_what_the_best_attack_finds_without_a_group(num_examples, num_groups):
    """Every part is what scikit-learn's curve says of the examples that are left."""
    rng = np.random.default_rng(0)
    strengths = dict.fromkeys(attacks.ATTACKS, 1.0)  # so that it depends on luck who is best
    seeds, chosen = [], set()
    for key in jax.random.split(jax.random.key(0), 3):
        members = np.asarray(random_halves(key, 8, num_examples))
        scores = {n: rng.normal(size=members.shape) + s * members for n, s in strengths.items()}
        seeds.append(SimpleNamespace(members=members, outputs=SimpleNamespace(scores=scores)))
    found = found_by_best(seeds)
    assert found.shape == (1 + num_groups, 3)
    left = np.ones((len(found), num_examples), bool)
    group = np.random.default_rng(0).permutation(num_examples) % max(num_groups, 1)
    left[1:] = group != np.arange(num_groups)[:, None]
    assert (left[1:].sum(axis=0) == max(num_groups - 1, 0)).all()  # each example is left out once
    for part, columns in zip(found, left):
        reached = np.zeros((len(strengths), 3))
        for s, run in enumerate(seeds):
            for a, scores in enumerate(run.outputs.scores.values()):
                truth, ranked = run.members[:, columns].ravel(), scores[:, columns].ravel()
                fpr, tpr, _ = roc_curve(truth, ranked, drop_intermediate=False)
                reached[a, s] = tpr[fpr <= 0.01].max()
        for s in range(3):
            best = np.delete(reached, s, axis=1).sum(axis=1).argmax()
            assert part[s] == pytest.approx(reached[best, s])
            chosen.add(best)
    assert len(chosen) > 1


def test_censoring_removes_the_members_with_most_nats():
    rng = np.random.default_rng(0)
    members = np.asarray(random_halves(jax.random.key(0), 4, 100))
    nats = rng.random(members.shape)
    removed = most_disclosed(nats, members, 0.1)
    assert (removed.sum(axis=1) == 5).all()
    assert not (removed & ~members).any()
    for row in range(4):
        kept = nats[row, members[row] & ~removed[row]]
        assert nats[row, removed[row]].min() > kept.max()


def test_quantile_bins_are_equally_full_and_ordered():
    values = np.random.default_rng(0).random(1437)
    values[:200] = 0.0  # ties, as examples that a gate always drops
    bins = quantile_bins(values)
    counts = np.bincount(bins)
    assert len(counts) == 10
    assert counts.max() - counts.min() <= 1
    assert all(values[bins == b].max() <= values[bins == b + 1].min() for b in range(9))


def test_no_attack_finds_what_does_not_leak(monkeypatch):
    """What a model answers depends on who else was trained on, never on the example itself.

    A target's complement holds a neighbour just where the target does not: among the shadows it
    gives every example away (LiRA with one variance then has an AUC of 0.58).
    """
    num_models, num_examples = 16, 3000
    members = np.asarray(random_halves(jax.random.key(1), num_models, num_examples))
    rng = np.random.default_rng(0)
    neighbours = np.stack([np.roll(members, shift, axis=1) for shift in range(1, 9)])
    own = 3 * neighbours.mean(axis=0) + 0.1 * rng.normal(size=members.shape)
    logits = {"train": np.stack([own, -own], axis=-1), "test": rng.normal(size=(16, 50, 2))}
    monkeypatch.setattr(attacks, "logits_of_many", lambda task, params, split: logits[split.name])
    splits = {
        name: SimpleNamespace(name=name, y=np.zeros(values.shape[1], int))
        for name, values in logits.items()
    }
    task = SimpleNamespace(dataset=SimpleNamespace(**splits))
    scores = attacks.query(task, None, members).scores
    assert scores.keys() == attacks.ATTACKS.keys()
    for name, found in scores.items():
        # Standard error of the AUC of 24,000 against 24,000 independent scores: 0.003.
        assert measures(found, members)["auc"] == pytest.approx(0.5, abs=0.015), name
