import jax
import numpy as np
import pytest

from gujax.models import lenet

SHAPE = (9, 12, 2)


def textbook(params, x, activation, channels=12):
    """The network with every convolution written as a sum over its window."""
    for layer, stride in zip(params["convolutions"].values(), (2, 2, 1)):
        padded = np.pad(x, ((2, 2), (2, 2), (0, 0)))
        rows, columns = (-(-side // stride) for side in x.shape[:2])
        out = np.zeros((rows, columns, channels)) + np.asarray(layer["bias"], np.float64)
        for i in range(rows):
            for j in range(columns):
                window = padded[stride * i : stride * i + 5, stride * j : stride * j + 5]
                out[i, j] += np.einsum("hwc,hwco->o", window, layer["kernel"])
        x = activation(out)
    return x.reshape(-1) @ np.asarray(params["head"]["kernel"]) + params["head"]["bias"]


@pytest.mark.parametrize(
    ("name", "activation"),
    [("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("relu", lambda x: np.maximum(x, 0))],
)
def test_is_the_textbook_function(name, activation):
    model = lenet(SHAPE, 4, name)
    params = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    expected = textbook(params, x.astype(np.float64), activation)
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-4, atol=1e-5)


def test_sizes_are_those_of_the_paper():
    params = jax.eval_shape(lenet((32, 32, 3), 100).init, jax.random.key(0))
    assert params["head"]["kernel"].shape == (768, 100)


def test_the_sigmoid_network_starts_wide():
    params = lenet((32, 32, 3), 100).init(jax.random.key(0))
    for leaf in jax.tree.leaves(params):
        assert np.abs(leaf).max() <= 0.5
    # The standard deviation of the uniform distribution on (-1/2, 1/2).
    assert np.std(params["head"]["kernel"]) == pytest.approx(12**-0.5, rel=0.02)
    assert np.std(params["head"]["bias"]) == pytest.approx(12**-0.5, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((64,), 10), r"input_shape=\(64,\).*use models.mlp"),
        (((8, 8, 1), 10, "tanh"), "activation='tanh' must be one of sigmoid, relu"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        lenet(*arguments)
