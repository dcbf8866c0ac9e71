import numpy as np
import pytest
from scipy.linalg import subspace_angles

from gujax.leakage import subspace_distance


def gradients(seed=0, num=30, dimensions=17):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num, dimensions)) @ np.diag(0.7 ** np.arange(dimensions))
    return rows, rng.random(num) < 0.5


def top(rows, k):
    """The leading eigenvectors of the dense second moment."""
    return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :k]


def test_agrees_with_dense_computation():
    rows, has_property = gradients()
    layer = {"kernel": rows[:, :12].reshape(30, 3, 4), "bias": rows[:, 12:]}
    for result in subspace_distance(layer, has_property, ks=(1, 3, 6), num_shuffles=1):
        first, second = (top(rows[part], result.k) for part in (has_property, ~has_property))
        np.testing.assert_allclose(
            result.angles, np.sort(subspace_angles(first, second)), atol=1e-9
        )
        projectors = first @ first.T - second @ second.T
        assert result.projection == pytest.approx(np.linalg.norm(projectors) / np.sqrt(2))
        assert result.grassmann == pytest.approx(np.linalg.norm(subspace_angles(first, second)))


def test_planes_at_a_known_angle():
    angle = 0.3
    plane = np.array([[2.0, 0, 0], [0, 1, 0]])
    turned = np.array([[2.0, 0, 0], [0, np.cos(angle), np.sin(angle)]])
    rows = np.concatenate([plane, turned])
    line, both = subspace_distance(rows, [True, True, False, False], ks=(1, 2), num_shuffles=1)
    assert line.projection == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(both.angles, [0, angle], atol=1e-12)
    assert both.projection == pytest.approx(np.sin(angle))
    assert both.grassmann == pytest.approx(angle)


def test_only_a_property_that_shows_is_above_the_control():
    above = 0
    for seed in range(20):
        rows, has_property = gradients(seed, num=40)
        (random,) = subspace_distance(rows, has_property, ks=(3,), num_shuffles=60)
        above += random.projection > random.control.high
    assert above <= 3  # 2.5 % of 20 expected; P(more than 3) is about 0.1 %
    rows, has_property = gradients(0, num=40)
    rows[has_property, 5] += 3
    (shown,) = subspace_distance(rows, has_property, ks=(3,), num_shuffles=60)
    assert shown.projection > shown.control.high


def test_bad_arguments():
    rows, has_property = gradients()
    smallest = min(has_property.sum(), (~has_property).sum())
    with pytest.raises(ValueError, match="has_property is True for every example"):
        subspace_distance(rows, np.ones(30, bool))
    with pytest.raises(ValueError, match=r"has_property has shape \(29,\)"):
        subspace_distance(rows, has_property[1:])
    for k in (0, smallest + 1):
        with pytest.raises(ValueError, match=f"ks has {k}; it must be between 1 and {smallest}"):
            subspace_distance(rows, has_property, ks=(1, k))
    with pytest.raises(ValueError, match="ks has 3; it must be between 1 and 2, "):
        subspace_distance(rows[:, :2], has_property, ks=(3,))
    with pytest.raises(ValueError, match="span only 1"):
        subspace_distance(np.ones((30, 4)), has_property, ks=(2,))
    with pytest.raises(ValueError, match="not finite"):
        subspace_distance(np.full((30, 4), np.nan), has_property, ks=(2,))
