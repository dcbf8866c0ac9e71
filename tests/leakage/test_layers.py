import jax
import numpy as np
import pytest

import gujax
from gujax.leakage import (
    coordinates_from_gram,
    layer_names,
    layers_by_use,
    principal_coordinates,
    split_layers,
)
from gujax.models import lenet, mlp, resnet, vgg
from gujax.training import cross_entropy_loss

MODEL = mlp((6,), 3, hidden=(5,))
PARAMS = MODEL.init(jax.random.key(0))


def gradients(method):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 6)), rng.integers(0, 3, 12)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: leaf.astype("float64"), PARAMS)
        return gujax.per_example_grads(cross_entropy_loss(MODEL), method=method)(params, (x, y))


def test_a_layer_is_the_parent_of_leaves():
    assert layer_names(PARAMS) == ("layers/0", "layers/1")
    assert layer_names({"w": np.ones(3), "conv": [np.ones(2)]}) == ("conv", "w")


def test_a_prefix_takes_whole_parts_only():
    tree = {"layers": {i: {"kernel": np.full(2, i)} for i in (1, 10)}}
    assert list(split_layers(tree, ["layers/1"])["layers/1"]) == ["layers/1/kernel"]
    assert len(split_layers(tree, ["layers"])["layers"]) == 2


@pytest.mark.parametrize("layers", [["layers/2"], ["layer"], ["layers/0", ""]])
def test_a_prefix_that_matches_nothing(layers):
    with pytest.raises(ValueError, match="matches no parameter; there are layers/0/bias"):
        split_layers(PARAMS, layers)


def test_no_layers():
    with pytest.raises(ValueError, match="layers is empty"):
        split_layers(PARAMS, [])


def test_microbatched_gradients_have_no_leaves():
    grads = gujax.per_example_grads(cross_entropy_loss(MODEL), microbatch_size=2)(
        PARAMS, (np.ones((4, 6), np.float32), np.zeros(4, int))
    )
    with pytest.raises(ValueError, match="microbatched and have no leaves"):
        split_layers(grads)


@pytest.mark.parametrize("method", ["dense", "factored"])
def test_principal_coordinates_are_those_of_dense_pca(method):
    dense = split_layers(gradients("dense"))
    for name, leaves in split_layers(gradients(method)).items():
        with jax.enable_x64(True):
            coordinates = principal_coordinates(leaves, 4)
        rows = np.concatenate([leaf.reshape(12, -1) for leaf in dense[name].values()], axis=1)
        left, scales, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        truth = (left * scales)[:, :4]
        # Up to the sign of each direction.
        np.testing.assert_allclose(np.abs(coordinates), np.abs(truth), atol=1e-6 * scales[0])


def test_missing_dimensions_are_zero():
    rows = np.random.default_rng(0).normal(size=(10, 2))
    coordinates = principal_coordinates({"bias": rows.astype(np.float32)}, 5)
    assert coordinates.shape == (10, 5)
    assert not coordinates[:, 2:].any()
    centered = rows - rows.mean(axis=0)
    np.testing.assert_allclose(coordinates @ coordinates.T, centered @ centered.T, atol=1e-5)


@pytest.mark.parametrize("width", [0, 12])
def test_a_width_beyond_the_examples(width):
    rows = np.ones((12, 20), np.float32)
    with pytest.raises(ValueError, match=f"width={width} must be between 1 and 11"):
        principal_coordinates({"bias": rows}, width)


def test_uncentered_coordinates_are_those_of_dense_svd():
    dense = split_layers(gradients("dense"))["layers/1"]
    rows = np.concatenate([leaf.reshape(12, -1) for leaf in dense.values()], axis=1)
    coordinates = coordinates_from_gram(rows @ rows.T, 4, center=False)
    left, scales, _ = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(left * scales)[:, :4], atol=1e-6)


@pytest.mark.parametrize("model", [vgg((8, 8, 1), 10), lenet((8, 8, 1), 10), mlp((8, 8, 1), 10)])
def test_layers_in_the_order_of_their_use(model):
    params = jax.eval_shape(model.init, jax.random.key(0))
    names = layers_by_use(model.apply, params, np.zeros((8, 8, 1), np.float32))
    hidden = ["hidden"] * ("hidden" in params)
    head = ["head"] * ("head" in params)
    lists = [name for name in layer_names(params) if "/" in name]
    assert list(names) == [*lists, *hidden, *head]


def test_chosen_layers_in_the_order_of_their_use():
    model = resnet((8, 8, 1), 10)
    params = jax.eval_shape(model.init, jax.random.key(0))
    chosen = ["head", "blocks/1", "stem", "blocks/0/first", "blocks/0"]
    names = layers_by_use(model.apply, params, np.zeros((8, 8, 1), np.float32), layers=chosen)
    assert names == ("stem", "blocks/0/first", "blocks/0", "blocks/1", "head")
