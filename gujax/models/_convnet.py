"""A small convolutional network with group normalization."""

import itertools
from collections.abc import Callable, Sequence

import jax
from flax import nnx
from jaxtyping import Array, Float

from gujax.models._convolution import choose_convolution
from gujax.models._model import Model, from_module

_CHANNELS_PER_GROUP = 8


class ConvNet(nnx.Module):
    """Stages of convolution, group norm, ReLU, 2 × 2 mean pooling; then a linear layer.

    Group norm (Wu & He 2018, arXiv 1803.08494) and not batch norm: with batch norm the gradient
    of one example depends on the others, and no per-example gradient exists.
    """

    def __init__(
        self,
        input_channels: int,
        num_features: int,
        num_classes: int,
        channels: Sequence[int],
        convolution: Callable[..., Array] = jax.lax.conv_general_dilated,
        *,
        rngs: nnx.Rngs,
    ):
        widths = (input_channels, *channels)
        self.convolutions = nnx.List(
            [
                nnx.Conv(
                    c_in,
                    c_out,
                    kernel_size=(3, 3),
                    conv_general_dilated=convolution,
                    rngs=rngs,
                )
                for c_in, c_out in itertools.pairwise(widths)
            ]
        )
        self.norms = nnx.List(
            [nnx.GroupNorm(c, None, _CHANNELS_PER_GROUP, rngs=rngs) for c in channels]
        )
        self.head = nnx.Linear(num_features, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch classes"]:
        """Logits of a batch."""
        for convolution, norm in zip(self.convolutions, self.norms):
            x = jax.nn.relu(norm(convolution(x)))
            x = nnx.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        return self.head(x.reshape(x.shape[0], -1))


def convnet(
    input_shape: Sequence[int],
    num_classes: int,
    channels: Sequence[int] = (16, 32),
    *,
    by_patches: bool = False,
) -> Model:
    """A small convolutional network for images.

    Args:
        input_shape: (height, width, channels) of one image; each stage halves height and width.
        num_classes: number of logits.
        channels: width of each stage, multiples of 8 (the size of a normalization group).
        by_patches: whether to compute a convolution as one product of patches and kernel: in a
            loop on a CPU, as in `gujax.training`, some twenty times faster.

    Returns:
        The model as pure functions.

    Raises:
        ValueError: if the input is not an image, is too small, or a width is not a multiple of 8.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape={shape} is not (height, width, channels); use models.mlp for vectors"
        )
    if any(c % _CHANNELS_PER_GROUP for c in channels):
        raise ValueError(f"channels={tuple(channels)} must be multiples of {_CHANNELS_PER_GROUP}")
    height, width = (side // 2 ** len(channels) for side in shape[:2])
    if not height * width:
        raise ValueError(f"input_shape={shape} is too small for {len(channels)} halvings")
    num_features = height * width * channels[-1]
    convolution = choose_convolution(by_patches)

    def make(rngs: nnx.Rngs) -> ConvNet:
        return ConvNet(shape[2], num_features, num_classes, channels, convolution, rngs=rngs)

    return from_module(make, shape)
