import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from gujax.attacks.membership import label_robustness


def linear(params, x):
    """Class 1 on one side of a plane through ``params``, at distance x[0] − params."""
    margin = x[0] - params
    return jnp.stack([jnp.zeros_like(margin), margin])


def robustness(boundary, x, y, **changes):
    settings = {"scales": (0.5, 2.0), "num_draws": 40, "key": jax.random.key(0)} | changes
    return label_robustness(linear, np.asarray(boundary, np.float32), x, y, **settings)


def test_counts_the_noise_that_a_label_survives():
    x = np.array([[0.5, 0], [1, 0], [2, 0], [-1, 0]], np.float32)
    found = robustness([0.0, 0.25], x, [1, 1, 1, 1])
    share = 1 / (1 + np.exp(-found))
    for model, boundary in enumerate((0.0, 0.25)):
        distance = x[:, 0] - boundary
        expected = (norm.cdf(distance / 0.5) + norm.cdf(distance / 2)) / 2
        # 80 queries: standard error below 0.06.
        np.testing.assert_allclose(share[model], expected, atol=0.2)


def test_orders_by_the_distance_to_the_boundary():
    x = np.linspace(-3, 3, 4, dtype=np.float32)[:, None]
    found = robustness([0.0], x, np.ones(4))[0]
    assert (np.diff(found) > 0).all()
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": ()}, "scales is empty"),
        ({"scales": (0.1, 0.0)}, "scales must be greater than 0"),
        ({"num_draws": 0}, "num_draws=0 must be at least 1"),
        ({"y": [1, 2]}, "y has shape"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {"boundary": [0.0], "x": np.zeros((3, 1), np.float32), "y": [0, 1, 1]} | changes
    with pytest.raises(ValueError, match=message):
        robustness(**arguments)
