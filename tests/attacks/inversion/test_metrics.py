import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from gujax.attacks import inversion


class TestAssignment:
    def test_recovers_a_permutation(self):
        rng = np.random.default_rng(0)
        truth = {"image": rng.normal(size=(20, 3, 2)), "age": rng.normal(size=20)}
        order = rng.permutation(20)
        shuffled = {name: x[order] for name, x in truth.items()}
        found = inversion.match_to_truth(shuffled, truth)
        np.testing.assert_array_equal(shuffled["image"][found], truth["image"])

    def test_is_the_best_of_all(self):
        rng = np.random.default_rng(1)
        inputs, truth = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
        found = inversion.match_to_truth(inputs, truth)
        costs = {
            p: ((inputs[list(p)] - truth) ** 2).sum() for p in itertools.permutations(range(5))
        }
        assert tuple(found) == min(costs, key=costs.get)

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match="inputs has shapes"):
            inversion.match_to_truth(np.zeros((2, 3)), np.zeros((3, 3)))
        with pytest.raises(ValueError, match="inputs has entries that are not finite"):
            inversion.match_to_truth(np.full((2, 3), np.nan), np.zeros((2, 3)))


class TestImageQuality:
    @pytest.mark.parametrize("shape", [(32, 20, 3), (8, 8, 1), (4, 6, 1)])
    def test_of_constant_images(self, shape):
        a, b = 0.25, 0.5  # so that the sum of squared differences is exact in float32
        quality = inversion.image_quality(
            np.full((2, *shape), a, np.float32), np.full((2, *shape), b, np.float32)
        )
        np.testing.assert_allclose(quality.mse, 0.0625, rtol=1e-5)
        np.testing.assert_allclose(quality.psnr, 10 * np.log10(1 / 0.0625), rtol=1e-5)
        # Without structure SSIM is its luminance term, with (k1 L)² = 1e-4.
        expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
        np.testing.assert_allclose(quality.ssim, expected, rtol=1e-3)
        assert quality.success_rate == 1

    def test_success_is_above_the_threshold(self):
        rng = np.random.default_rng(0)
        truth = rng.random((3, 16, 16, 1)).astype(np.float32)
        images = np.stack([truth[0], rng.random((16, 16, 1)), truth[2]]).astype(np.float32)
        quality = inversion.image_quality(images, truth)
        np.testing.assert_array_equal(quality.success, [True, False, True])
        assert quality.success_rate == pytest.approx(2 / 3)
        assert not inversion.image_quality(images, truth, ssim_threshold=1.0).success.any()

    def test_does_not_depend_on_the_scale(self):
        rng = np.random.default_rng(0)
        images, truth = rng.random((2, 2, 12, 12, 3)).astype(np.float32)
        one = inversion.image_quality(images, truth)
        scaled = inversion.image_quality(255 * images, 255 * truth, max_value=255.0)
        np.testing.assert_allclose(one.ssim, scaled.ssim, rtol=1e-4)
        np.testing.assert_allclose(one.psnr, scaled.psnr, rtol=1e-4)

    def test_wrong_arguments(self):
        image = np.zeros((1, 4, 4, 1), np.float32)
        with pytest.raises(ValueError, match="use feature_error for other inputs"):
            inversion.image_quality(image[0], image[0])
        with pytest.raises(ValueError, match="max_value must be greater than 0"):
            inversion.image_quality(image, image, max_value=0.0)


def test_feature_error():
    truth, inputs = np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[3.0, 4.5], [2.0, 2.0]])
    np.testing.assert_allclose(inversion.feature_error(inputs, truth), [0.1, 1.0], rtol=1e-6)
    # Only the second feature counts.
    error = inversion.feature_error(inputs, truth, lambda x: x[:, 1:])
    np.testing.assert_allclose(error, [0.125, 0.0], rtol=1e-6)
    with pytest.raises(ValueError, match="inputs has shape"):
        inversion.feature_error(jnp.zeros((2, 3)), jnp.zeros((2, 2)))
