from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

from gujax import defenses, models, training, transforms
from gujax.data import Split

MODEL = models.mlp((4,), 3, hidden=(8,))
Y = np.arange(36) % 3
X = np.random.default_rng(0).normal(size=(36, 4)) + 3 * np.eye(4)[Y]
SPLIT = Split.from_arrays(X, Y)


def adam(key):
    return optax.chain(transforms.mean(batch_size=6), optax.adam(0.03))


def labels(split=SPLIT, **changes):
    settings = {"folds": 2, "repeats": 3, "batch_size": 6, "epochs": 10} | changes
    return defenses.out_of_fold_labels(
        split,
        MODEL,
        adam,
        key=jax.random.key(1),
        **settings,
    )


def test_masks_leave_every_member_out_of_one_fold_of_each_partition():
    members = np.random.default_rng(0).random((2, 50)) < 0.6
    masks = defenses.fold_masks(jax.random.key(0), members, folds=3, repeats=4)
    assert masks.shape == (2, 4, 3, 50)
    np.testing.assert_array_equal(masks.sum(axis=2), 2 * members[:, None].repeat(4, axis=1))
    sizes = (members[:, None, None] & ~masks).sum(axis=-1)
    assert np.ptp(sizes, axis=-1).max() <= 1
    assert not np.array_equal(masks[:, 0], masks[:, 1])


def test_groups_are_in_one_fold():
    members = np.random.default_rng(0).random((2, 50)) < 0.6
    groups = np.arange(50) * 7 % 13
    masks = defenses.fold_masks(jax.random.key(0), members, folds=3, repeats=4, groups=groups)
    out = members[:, None, None] & ~masks
    np.testing.assert_array_equal(out.sum(axis=2), members[:, None].repeat(4, axis=1))
    for group in range(13):
        of_group = out[..., groups == group].any(axis=-1)
        present = members[:, groups == group].any(axis=-1)
        np.testing.assert_array_equal(of_group.sum(axis=-1), present[:, None].repeat(4, axis=1))
    assert (np.ptp(out.sum(axis=-1), axis=-1) <= 2 * 4).all()  # a group has at most 4 members


def test_labels_of_a_group_do_not_depend_on_any_label_in_it():
    groups = np.arange(36) // 2
    found = labels(groups=groups)
    flipped = np.where(groups == 5, (Y + 1) % 3, Y).astype(np.int32)
    other = labels(replace(SPLIT, y=flipped), groups=groups)
    np.testing.assert_array_equal(other[groups == 5], found[groups == 5])
    # Where the two are not kept together, each one's teachers have seen the other.
    alone = labels(replace(SPLIT, y=flipped))
    assert not np.array_equal(alone[groups == 5], labels()[groups == 5])


def test_labels_are_good_and_do_not_depend_on_the_own_label():
    found = labels()
    assert found.shape == (36, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == Y).mean() > 0.9
    for j in (17,):
        flipped = np.where(np.arange(36) == j, (Y + 1) % 3, Y)
        other = labels(replace(SPLIT, y=flipped.astype(np.int32)))
        np.testing.assert_array_equal(other[j], found[j])
        assert not np.array_equal(other, found)


def test_others_than_members_change_nothing():
    members = np.arange(36) < 30
    found = labels(member_masks=members)
    garbage = replace(SPLIT, x=np.where(members[:, None], SPLIT.x, np.float32(1e6)))
    np.testing.assert_array_equal(labels(garbage, member_masks=members)[members], found[members])
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_of_many_students_at_once():
    members = np.asarray(training.random_halves(jax.random.key(0), 2, 36))
    found = labels(member_masks=members)
    assert found.shape == (2, 36, 3)
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds=1 must be at least 2"),
        ({"folds": 40}, "folds=40 are more than the 36 members"),
        ({"repeats": 0}, "repeats=0 must be at least 1"),
        ({"split": replace(SPLIT, y=(np.arange(36) == 5).astype(np.int32))}, "class 1 has so few"),
        ({"split": replace(SPLIT, y=SPLIT.y + 1)}, "train.y has labels from 1 to 3"),
        ({"groups": np.zeros(5, int)}, r"groups has shape \(5,\)"),
        ({"groups": np.zeros(36, int)}, "class 0 has so few members"),
        ({"member_masks": np.ones(5, bool)}, r"member_masks has shape \(5,\)"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        labels(**changes)
