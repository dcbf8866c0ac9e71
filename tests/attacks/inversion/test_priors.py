import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.attacks import inversion


def test_total_variation_is_a_mean_over_neighbors():
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    vertical = [
        abs(images[b, i + 1, j, c] - images[b, i, j, c]) for b, i, j, c in np.ndindex(2, 2, 4, 2)
    ]
    horizontal = [
        abs(images[b, i, j + 1, c] - images[b, i, j, c]) for b, i, j, c in np.ndindex(2, 3, 3, 2)
    ]
    expected = np.mean(vertical) + np.mean(horizontal)
    assert inversion.total_variation(images) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("inputs", [jnp.zeros((2, 5)), {"a": jnp.zeros((1, 2, 3, 4))}])
def test_total_variation_is_of_images(inputs):
    with pytest.raises(ValueError, match="use total_variation_weight=0 for other inputs"):
        inversion.total_variation(inputs)


def test_box_is_per_channel_where_limits_are():
    project = inversion.box(jnp.array([0.0, -1.0]), jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(
        project({"x": jnp.array([[-3.0, -3.0], [0.5, 0.5], [5.0, 5.0]])})["x"],
        [[0.0, -1.0], [0.5, 0.5], [1.0, 2.0]],
    )
    with pytest.raises(ValueError, match=r"low=.* must be below high="):
        inversion.box(1.0, 1.0)


@pytest.mark.parametrize(
    ("start", "mean", "variance"),
    [(inversion.standard_normal, 0, 1), (inversion.uniform, 0.5, 1 / 12)],
)
def test_starts_have_their_moments_and_independent_leaves(start, mean, variance):
    like = [jax.ShapeDtypeStruct((50, 100), jnp.float32)] * 2
    first, second = start(jax.random.key(0), like)
    assert np.mean(first) == pytest.approx(mean, abs=0.06)  # four standard errors
    assert np.var(first) == pytest.approx(variance, rel=0.08)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.06
