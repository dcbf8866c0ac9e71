"""Groups of near-duplicates against single-linkage clustering by scipy."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

from gujax import data


def same_partition(one, other):
    pairs = np.unique(np.stack([one, other], axis=1), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


@given(
    num=st.integers(3, 40),
    width=st.integers(1, 5),
    within=st.sampled_from([0.2, 0.5, 0.8]),
    seed=st.integers(0, 99),
)
def test_groups_are_single_linkage_clusters_of_distances_over_local_ones(num, width, within, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, width)) * 10.0 ** rng.integers(-3, 4, width) + 7
    distances = squareform(pdist(x / x.std(axis=0)))
    others = np.sort(distances + np.diag(np.full(num, np.inf)), axis=1)
    scale = others[:, min(10, num - 1) - 1]
    relative = distances / np.minimum(scale[:, None], scale)
    expected = fcluster(linkage(squareform(relative), "single"), within, criterion="distance")
    found = data.near_duplicates(x, within=within)
    assert same_partition(found, expected)
    assert set(found) == set(range(found.max() + 1))


def test_copies_are_found_and_nothing_else(monkeypatch):
    monkeypatch.setattr("gujax.data._near_duplicates._BLOCK", 16)  # several, one of them partial
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4, 3))
    x[:, 0, 0] = 5.0  # a constant feature says nothing
    copies = x[[3, 3, 20]] + 0.02 * rng.normal(size=(3, 4, 3))
    copies[:, 0, 0] = 5.0
    groups = data.near_duplicates(np.concatenate([x, copies]))
    assert groups[3] == groups[50] == groups[51]
    assert groups[20] == groups[52]
    assert len(np.unique(groups)) == 50


def test_exact_duplicates_are_groups_where_most_examples_have_some():
    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    groups = data.near_duplicates(np.concatenate([x, x, x[:2]]), within=1e-3)
    np.testing.assert_array_equal(groups, np.concatenate([groups[:12], groups[:12], groups[:2]]))
    assert len(np.unique(groups)) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones((1, 3))}, "x has 1 examples; near-duplicates are of two or more"),
        ({"x": np.ones((4, 3)), "within": 0.0}, "within"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.near_duplicates(**arguments)
