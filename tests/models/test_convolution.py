from functools import partial

import jax
import numpy as np
import pytest

from gujax import models
from gujax.models._convolution import convolution_by_patches

X = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((2, 1), (0, 1))])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_is_the_convolution(padding, strides):
    kernel = np.random.default_rng(1).normal(size=(3, 2, 3, 4)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        X, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    made = convolution_by_patches(X, kernel, strides, padding)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        partial(models.convnet, channels=(8,)),
        partial(models.lenet, activation="relu"),
        partial(models.vgg, channels=(8,), hidden=16),
        partial(models.resnet, channels=(8,)),
    ],
    ids=["convnet", "lenet", "vgg", "resnet"],
)
def test_a_model_by_patches_is_the_same_model(build):
    plain, patches = (build((7, 6, 3), 4, by_patches=by_patches) for by_patches in (False, True))
    params = jax.jit(plain.init)(jax.random.key(0))
    np.testing.assert_allclose(patches.apply(params, X), plain.apply(params, X), atol=1e-5)
