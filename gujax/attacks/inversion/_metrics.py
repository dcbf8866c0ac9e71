"""How close reconstructions come to the truth."""

from collections.abc import Callable
from typing import NamedTuple

import dm_pix
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gujax.validation import check_positive

_SSIM_WINDOW = 11


class ImageQuality(NamedTuple):
    """Measures of N reconstructed images.

    Attributes:
        mse: mean squared error, [N].
        psnr: peak signal-to-noise ratio, dB, [N]; infinite for an exact reconstruction.
        ssim: structural similarity, at most 1, [N].
        success: whether the similarity exceeds the threshold, [N].
    """

    mse: Float[Array, " images"]
    psnr: Float[Array, " images"]
    ssim: Float[Array, " images"]
    success: Bool[Array, " images"]

    @property
    def success_rate(self) -> float:
        """Share of images that were reconstructed."""
        return float(np.mean(self.success))


def image_quality(
    images: Float[Array, "images h w c"],
    truth: Float[Array, "images h w c"],
    *,
    max_value: float = 1.0,
    ssim_threshold: float = 0.6,
) -> ImageQuality:
    """Measures of reconstructed images; order a batch by `match_to_truth` first.

    SSIM is that of Wang et al. 2004 with a Gaussian window of 11 × 11, or as large an odd one as
    fits a smaller image, averaged over channels; success at SSIM above 0.6 is the measure of
    Scheliga, Mäder, Seeland 2022 (arXiv 2108.04725).

    Args:
        images: reconstructions, [N, H, W, C].
        truth: true images, [N, H, W, C].
        max_value: largest possible minus least possible pixel value.
        ssim_threshold: success is an SSIM above this.

    Returns:
        The measures.

    Raises:
        ValueError: if shapes differ or are not of images, or ``max_value`` is not positive.
    """
    check_positive("max_value", max_value)
    images, truth = jnp.asarray(images), jnp.asarray(truth)
    if images.shape != truth.shape or images.ndim != 4:
        raise ValueError(
            f"images has shape {images.shape}, truth {truth.shape}; both must be (images, height, "
            "width, channels); use feature_error for other inputs"
        )
    side = min(_SSIM_WINDOW, *images.shape[1:3])
    ssim = dm_pix.ssim(images, truth, max_val=max_value, filter_size=side - (side + 1) % 2)
    mse = dm_pix.mse(images, truth)
    psnr = 10 * jnp.log10(max_value**2 / mse)
    return ImageQuality(mse, psnr, ssim, ssim > ssim_threshold)


def feature_error(
    inputs: Float[Array, "examples ..."],
    truth: Float[Array, "examples ..."],
    features: Callable[[Array], Array] = lambda x: x,
) -> Float[Array, " examples"]:
    """Relative error of the reconstructions, in features if given.

    Args:
        inputs: reconstructions, [N, ...].
        truth: true inputs, [N, ...].
        features: maps inputs to what is compared, [N, ...], such as a model's last hidden layer
            (a distance that counts what the image shows, not its pixels); the inputs if None given.

    Returns:
        ‖features(input) - features(truth)‖ / ‖features(truth)‖, [N].

    Raises:
        ValueError: if shapes differ.
    """
    if jnp.shape(inputs) != jnp.shape(truth):
        raise ValueError(
            f"inputs has shape {jnp.shape(inputs)}, truth {jnp.shape(truth)}; they must be the same"
        )
    found, wanted = (features(jnp.asarray(x)) for x in (inputs, truth))
    found, wanted = (x.reshape(x.shape[0], -1) for x in (found, wanted))
    return jnp.linalg.norm(found - wanted, axis=1) / jnp.linalg.norm(wanted, axis=1)
