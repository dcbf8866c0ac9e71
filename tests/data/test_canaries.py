import jax
import numpy as np
import pytest

from gujax import data
from gujax.training import random_halves


def split(size=200, subgroups=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(size, 3)) * [1, 10, 0]
    return data.Split.from_arrays(
        x, np.arange(size) % 4, np.arange(size) % 2 if subgroups else None
    )


def test_mislabelled_canaries_are_the_only_change():
    given = split()
    canaries = data.mislabelled_canaries(given, 80, num_classes=4)
    changed = canaries.split.y != given.y
    np.testing.assert_array_equal(given.ids[changed], canaries.ids)
    assert changed.sum() == 80
    assert canaries.split.x is given.x
    np.testing.assert_array_equal(canaries.groups, np.arange(200))
    # Wrong labels are drawn evenly: 80/3 of each distance, four standard errors.
    distance = (canaries.split.y - given.y)[changed] % 4
    assert np.abs(np.bincount(distance, minlength=4)[1:] - 80 / 3).max() < 17
    again = data.mislabelled_canaries(given, 80, num_classes=4)
    np.testing.assert_array_equal(again.split.y, canaries.split.y)
    other = data.mislabelled_canaries(given, 80, num_classes=4, seed=1)
    assert not np.array_equal(other.ids, canaries.ids)


def test_near_duplicates_are_close_and_share_label_and_group():
    given = split(subgroups=True)
    found = data.near_duplicate_canaries(given, 40, 4, copies=3, noise=0.1)
    assert len(found.split) == len(found.split.x) == 320
    np.testing.assert_array_equal(found.split.ids, np.arange(320))
    original = found.groups[200:]
    np.testing.assert_array_equal(np.bincount(original)[np.unique(original)], 3)
    np.testing.assert_array_equal(
        found.ids, np.concatenate([np.unique(original), np.arange(200, 320)])
    )
    assert (found.split.y[200:] == found.split.y[original]).all()
    assert (found.split.y[original] != given.y[original]).all()
    np.testing.assert_array_equal(found.split.subgroups[200:], given.subgroups[original])
    # The third feature is constant, so copies of it are exact.
    away = (found.split.x[200:] - given.x[original]) / (given.x.std(axis=0) + 1e-9)
    np.testing.assert_allclose(away.std(axis=0), [0.1, 0.1, 0], atol=0.03)
    members = random_halves(jax.random.key(0), 4, found.groups.max() + 1)[:, found.groups]
    np.testing.assert_array_equal(members[:, 200:], members[:, original])


def test_exact_duplicates():
    found = data.near_duplicate_canaries(split(), 5, 4, copies=1, noise=0)
    np.testing.assert_array_equal(found.split.x[200:], found.split.x[found.groups[200:]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 201}, "count=201 canaries are more than the 200 examples"),
        ({"count": 0}, "count=0 must be at least 1"),
        ({"num_classes": 1}, "num_classes=1 leaves no wrong label"),
        ({"copies": 0}, "copies=0 must be at least 1"),
        ({"noise": -1.0}, "noise must be at least 0"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {"count": 5, "num_classes": 4, "copies": 1, "noise": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        data.near_duplicate_canaries(split(), **arguments)
