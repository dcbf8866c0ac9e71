"""A small VGG."""

import itertools
from collections.abc import Callable, Sequence

import jax
from flax import nnx
from jaxtyping import Array, Float

from gujax.models._convolution import choose_convolution
from gujax.models._model import Model, from_module


class VGG(nnx.Module):
    """Stages of two 3 × 3 convolutions and 2 × 2 max pooling; then two fully connected layers."""

    def __init__(
        self,
        input_channels: int,
        num_features: int,
        num_classes: int,
        channels: Sequence[int],
        hidden: int,
        rngs: nnx.Rngs,
        convolution: Callable[..., Array] = jax.lax.conv_general_dilated,
    ):
        # Two convolutions per stage: the first changes the number of channels.
        widths = (input_channels, *(c for c in channels for _ in range(2)))
        self.convolutions = nnx.List(
            [
                nnx.Conv(c_in, c_out, (3, 3), conv_general_dilated=convolution, rngs=rngs)
                for c_in, c_out in itertools.pairwise(widths)
            ]
        )
        self.hidden = nnx.Linear(num_features, hidden, rngs=rngs)
        self.head = nnx.Linear(hidden, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch classes"]:
        """Logits of a batch."""
        for index, convolution in enumerate(self.convolutions):
            x = jax.nn.relu(convolution(x))
            if index % 2:
                x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        return self.head(jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1))))


def vgg(
    input_shape: Sequence[int],
    num_classes: int,
    channels: Sequence[int] = (16, 32),
    hidden: int = 128,
    *,
    by_patches: bool = False,
) -> Model:
    """A small VGG, Simonyan & Zisserman 2015 (arXiv 1409.1556), without dropout.

    Args:
        input_shape: (height, width, channels) of one image; each stage halves height and width.
        num_classes: number of logits.
        channels: width of each stage of two convolutions.
        hidden: width of the fully connected layer before the last.
        by_patches: whether to compute a convolution as one product of patches and kernel: in a
            loop on a CPU, as in `gujax.training`, many times faster.

    Returns:
        The model as pure functions.

    Raises:
        ValueError: if the input is not an image, or too small for the stages.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape={shape} is not (height, width, channels); use models.mlp for vectors"
        )
    height, width = (side // 2 ** len(channels) for side in shape[:2])
    if not channels or not height * width:
        raise ValueError(
            f"channels={tuple(channels)} must name at least one stage, and input_shape={shape} "
            "must allow as many halvings"
        )
    num_features = height * width * channels[-1]
    convolution = choose_convolution(by_patches)

    def make(rngs: nnx.Rngs) -> VGG:
        return VGG(shape[2], num_features, num_classes, channels, hidden, rngs, convolution)

    return from_module(make, shape)
