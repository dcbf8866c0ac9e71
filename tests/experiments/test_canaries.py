"""Canaries of a task, and runs parted by them; labels that a defense makes before it trains."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.framework.errors import UserError
from experiments.membership.attacks import Outputs
from experiments.membership.canaries import of_canaries, ordinary
from experiments.membership.defenses import Defense, out_of_fold
from experiments.membership.options import MembershipOptions
from experiments.membership.runs import DefenseRun, SeedRun, Teaching, check_defenses, halves
from experiments.tasks.canaries import COPIES, with_canaries
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import load_task

TASK = load_task("digits", "mlp", (), train_size=200)
RECIPE = Recipe("adam", 0.05, False, 20, 3)


def run_with(scores, members):
    nothing = np.zeros(scores.shape)
    outputs = Outputs({"lira": scores}, nothing, np.zeros((len(scores), 1), bool))
    seed = SeedRun(members, nothing > 0, nothing, nothing, nothing, None, outputs)
    return DefenseRun(Defense("SGD", "sgd"), RECIPE, None, [seed])


def test_groups_are_together_and_every_seed_has_as_many_members():
    task = with_canaries(TASK, "near_duplicates", 15)
    groups = task.canaries.groups
    sizes = []
    for seed in range(3):
        members = halves(task, 6, seed)
        assert (members.sum(axis=0) == 3).all()
        for group in np.flatnonzero(np.bincount(groups) > 1):
            of_group = members[:, groups == group]
            assert (of_group == of_group[:, :1]).all()
        sizes.append(members.sum(axis=1).max())
    assert len(set(sizes)) == 1


def test_a_group_is_asked_about_once():
    task = with_canaries(TASK, "near_duplicates", 15)
    train, groups = task.dataset.train, task.canaries.groups
    members = halves(task, 4, 0)
    scores = np.random.default_rng(0).normal(size=members.shape)
    run = run_with(scores, members)
    (apart,) = of_canaries(run, task)
    canaries = np.flatnonzero(np.bincount(groups) == COPIES + 1)
    assert apart.members.shape == (4, 15)
    for column, group in enumerate(canaries):
        np.testing.assert_allclose(
            apart.outputs.scores["lira"][:, column], scores[:, groups == group].mean(axis=1)
        )
        np.testing.assert_array_equal(apart.members[:, column], members[:, groups == group][:, 0])
    (rest,) = ordinary(run, task).seeds
    left = ~np.isin(train.ids, task.canaries.ids)
    np.testing.assert_array_equal(rest.outputs.scores["lira"], scores[:, left])
    assert ordinary(run, TASK) is run


def test_more_canaries_than_examples():
    with pytest.raises(UserError, match="--num-canaries 101 are more than half of the 200"):
        with_canaries(TASK, "mislabelled", 101)


def test_labels_are_made_once_for_all_strengths_and_never_from_the_own_label(monkeypatch):
    monkeypatch.setattr(out_of_fold, "REPEATS", 2)
    task = load_task("digits", "mlp", (), train_size=400)  # enough of every class for all teachers
    options = MembershipOptions(shadow_models=4, seeds=1)
    one, other = (Defense("", "out_of_fold", strength) for strength in (0.1, 0.2))
    teaching = Teaching(task, RECIPE, options)
    labels = teaching.labels(one, 0)
    assert teaching.labels(other, 0) is labels
    assert teaching.labels(Defense("SGD", "sgd"), 0) is None
    members = halves(task, 4, 0)
    assert labels.shape == (4, 400, 10)
    right = labels.argmax(axis=-1) == task.dataset.train.y
    assert right[members].mean() > 0.6
    y = task.dataset.train.y.copy()
    y[7] = (y[7] + 1) % 10
    changed = replace(task, dataset=replace(task.dataset, train=replace(task.dataset.train, y=y)))
    again = Teaching(changed, RECIPE, options).labels(one, 0)
    np.testing.assert_array_equal(again[members[:, 7], 7], labels[members[:, 7], 7])
    assert not np.array_equal(again, labels)
    key = jax.random.fold_in(jax.random.key(0), 2)
    np.testing.assert_array_equal(out_of_fold.label(task, RECIPE, members, key), labels)


def test_a_fold_without_a_class_is_told_before_training():
    y = np.where(np.arange(200) == 5, 9, TASK.dataset.train.y % 3).astype(np.int32)
    rare = replace(TASK, dataset=replace(TASK.dataset, train=replace(TASK.dataset.train, y=y)))
    options = MembershipOptions(shadow_models=4, seeds=1)
    with pytest.raises(UserError, match="class 9 has so few members that a teacher would see none"):
        check_defenses(rare, [Defense("", "out_of_fold", 0.1)], options)
    check_defenses(rare, [Defense("SGD", "sgd")], options)


def test_default_number_is_one_in_a_hundred():
    groups = with_canaries(TASK, "near_duplicates", None).canaries.groups
    assert np.sum(np.bincount(groups) == COPIES + 1) == 2
