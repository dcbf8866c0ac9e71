"""The variational bottleneck: a Gaussian code between an encoder and a decoder."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from gujax.models import choose_convolution
from gujax.validation import check_count

BuildBottleneck = Callable[[tuple[int, ...], nnx.Rngs], "VariationalBottleneck"]
"""Maps the shape of one example's features to a bottleneck that keeps it."""

_LEAST_CHANNELS = 8


def reparameterize(
    key: PRNGKeyArray, mean: Float[Array, "..."], std: Float[Array, "..."]
) -> Float[Array, "..."]:
    """A sample of N(mean, std²), differentiable in both: mean + std · ε with ε ~ N(0, 1).

    Kingma & Welling 2014 (arXiv 1312.6114, section 2.4).
    """
    return mean + std * jax.random.normal(key, mean.shape, mean.dtype)


def divergence_bits(mean: Float[Array, "..."], std: Float[Array, "..."]) -> Float[Array, ""]:
    """KL(N(mean, std²) ‖ N(0, 1)) of independent Gaussians, summed over all entries.

    Kingma & Welling 2014 (arXiv 1312.6114, appendix B): ½ Σ (mean² + std² − 1 − log std²), here in
    bits, as PRECODE weighs it.

    Args:
        mean: means of one example, of any shape.
        std: standard deviations, positive, of the same shape.

    Returns:
        A scalar in bits.
    """
    return jnp.sum(mean**2 + std**2 - 1 - 2 * jnp.log(std)) / (2 * math.log(2))


class VariationalBottleneck(nnx.Module):
    """Encoder to mean and standard deviation, sample, decoder back to the shape of the input.

    PRECODE, Scheliga, Mäder, Seeland 2022 (arXiv 2108.04725): B = N(μ, σ²) with
    (μ, s) = encoder(x) and σ = softplus(s); the output is decoder(b), b ~ B, without activation.
    """

    def __init__(self, encoder: nnx.Linear | nnx.Conv, decoder: nnx.Linear | nnx.Conv):
        self.encoder = encoder
        self.decoder = decoder

    def __call__(
        self, x: Float[Array, "batch ..."], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "batch ..."], Float[Array, " batch"]]:
        """Pass features through the bottleneck.

        Args:
            x: features.
            key: PRNG key of the sample; None takes the mean instead, as at evaluation.

        Returns:
            What the next layer sees, shaped as ``x``, and each example's KL divergence in bits.
        """
        return self.decoded(self.encoder(x), key)

    def decoded(
        self, encoded: Float[Array, "batch ..."], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "batch ..."], Float[Array, " batch"]]:
        """What `__call__` returns, from what the encoder gave."""
        mean, spread = jnp.split(encoded, 2, axis=-1)
        std = jax.nn.softplus(spread)
        code = mean if key is None else reparameterize(key, mean, std)
        return self.decoder(code), jax.vmap(divergence_bits)(mean, std)


def linear(latent: int = 256) -> BuildBottleneck:
    """The bottleneck of PRECODE (arXiv 2108.04725): linear encoder and decoder.

    Args:
        latent: dimensions K of the code.

    Returns:
        Builder for features of shape [F]. It raises `ValueError` for others.

    Raises:
        ValueError: if ``latent`` is below 1.
    """
    check_count("latent", latent)

    def build(shape: tuple[int, ...], rngs: nnx.Rngs) -> VariationalBottleneck:
        if len(shape) != 1:
            raise ValueError(
                f"bottleneck=linear() is for vectors, but the input of the layer it was placed "
                f"before has shape {shape}; place it before a fully connected layer, or use "
                "convolutional()"
            )
        encoder = nnx.Linear(shape[0], 2 * latent, rngs=rngs)
        return VariationalBottleneck(encoder, nnx.Linear(latent, shape[0], rngs=rngs))

    return build


def convolutional(
    latent_channels: int | None = None, *, by_patches: bool = False
) -> BuildBottleneck:
    """The convolutional variational bottleneck, CVB, to be placed early.

    Scheliga, Mäder, Seeland 2023 (arXiv 2309.04515). 3 × 3 convolution to the means and standard
    deviations at each position, 1 × 1 convolution back. The KL divergence is the whole code's, a
    sum over positions: where β was tuned for a mean over positions, divide it by their number.

    Args:
        latent_channels: channels of the code; None for half of the input's, and at least 8.
        by_patches: whether to compute a convolution as one product of patches and kernel, as
            `gujax.models.lenet` may.

    Returns:
        Builder for features of shape [H, W, C]. It raises `ValueError` for others.

    Raises:
        ValueError: if ``latent_channels`` is below 1.
    """
    if latent_channels is not None:
        check_count("latent_channels", latent_channels)
    convolution = choose_convolution(by_patches)

    def build(shape: tuple[int, ...], rngs: nnx.Rngs) -> VariationalBottleneck:
        if len(shape) != 3:
            raise ValueError(
                f"bottleneck=convolutional() is for images [H, W, C], but the input of the layer "
                f"it was placed before has shape {shape}; place it before a convolution, or use "
                "linear()"
            )
        channels = shape[2]
        latent = latent_channels or max(channels // 2, _LEAST_CHANNELS)
        conv = partial(nnx.Conv, conv_general_dilated=convolution, rngs=rngs)
        return VariationalBottleneck(
            conv(channels, 2 * latent, (3, 3)), conv(latent, channels, (1, 1))
        )

    return build
