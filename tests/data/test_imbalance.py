from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gujax import data


def small(labels, subgroups=None):
    """A data set whose features say which example they belong to."""
    split = data.Split.from_arrays(np.arange(len(labels))[:, None], labels, subgroups)
    return data.Dataset("small", split, split, int(max(labels)) + 1)


def test_hand_counted():
    dataset = small([0, 1, 1, 0, 1, 1, 2])
    rare = data.imbalance(dataset, [1], keep=0.5)
    np.testing.assert_array_equal(rare.train.ids, [0, 1, 2, 3, 6])
    np.testing.assert_array_equal(rare.train.y, [0, 1, 1, 0, 2])
    np.testing.assert_array_equal(rare.train.x[:, 0], rare.train.ids)
    assert rare.test is dataset.test
    # A tenth of four examples is rounded up to one.
    np.testing.assert_array_equal(data.imbalance(dataset, [1], 0.1).train.ids, [0, 1, 3, 6])
    np.testing.assert_array_equal(data.imbalance(dataset, [0, 1], 0.1).train.ids, [0, 1, 6])


def test_groups_may_be_subgroups():
    dataset = small([0, 0, 0, 1, 1, 1], subgroups=[5, 7, 7, 7, 7, 5])
    rare = data.imbalance(dataset, [7], keep=0.25, by="subgroup")
    np.testing.assert_array_equal(rare.train.ids, [0, 1, 5])
    np.testing.assert_array_equal(rare.train.subgroups, [5, 7, 5])
    np.testing.assert_array_equal(data.group_labels(rare.train, "class"), [0, 0, 1])


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    rare=st.sets(st.integers(0, 3)),
    percent=st.integers(1, 100),
    smaller=st.integers(1, 100),
)
def test_every_group_keeps_its_share(labels, rare, percent, smaller):
    dataset = small(labels)
    rare &= set(labels)
    result = data.imbalance(dataset, rare, percent / 100)
    for group in set(labels):
        share = Fraction(percent, 100) if group in rare else Fraction(1)
        exact = share * labels.count(group)
        # Rounded up; the float of a share may lie just above it, and then one more is kept.
        assert exact <= np.sum(result.train.y == group) <= -(-exact // 1) + 1
        assert group in result.train.y
    assert (np.diff(result.train.ids) > 0).all()
    np.testing.assert_array_equal(result.train.y, np.array(labels)[result.train.ids])
    less = data.imbalance(dataset, rare, min(percent, smaller) / 100)
    assert set(less.train.ids) <= set(result.train.ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rare": [1], "keep": 0}, "keep=0 must be greater than 0"),
        ({"rare": [1], "keep": 1.5}, "keep=1.5 must be greater than 0 and at most 1"),
        ({"rare": [4], "keep": 0.5}, "class 4 has no training example in 'small'; .* 0, 1"),
        ({"rare": [1], "keep": 0.5, "by": "subgroup"}, "no subgroup labels"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.imbalance(small([0, 1, 1]), **arguments)


def test_all_of_a_rare_group_is_no_imbalance():
    dataset = replace(data.load("digits"), name="copy")
    np.testing.assert_array_equal(data.imbalance(dataset, [8, 9], 1).train.ids, dataset.train.ids)
