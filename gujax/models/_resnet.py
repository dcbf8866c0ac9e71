"""A residual convolutional network with group normalization."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
from flax import nnx
from jaxtyping import Array, Float

from gujax.models._convolution import choose_convolution
from gujax.models._model import Model, from_module
from gujax.validation import check_count

_CHANNELS_PER_GROUP = 8


MakeConv = Callable[..., nnx.Conv]
"""`nnx.Conv`, without bias: the group norm that follows has one."""


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(channels, None, _CHANNELS_PER_GROUP, rngs=rngs)


class Block(nnx.Module):
    """Two convolutions and a shortcut, which is a 1 × 1 convolution where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int, rngs: nnx.Rngs, make_conv: MakeConv):
        self.first = make_conv(c_in, c_out, (3, 3), stride, rngs=rngs)
        self.first_norm = _norm(c_out, rngs)
        self.second = make_conv(c_out, c_out, (3, 3), rngs=rngs)
        self.second_norm = _norm(c_out, rngs)
        changes = c_in != c_out or stride > 1
        self.shortcut = make_conv(c_in, c_out, (1, 1), stride, rngs=rngs) if changes else None

    def __call__(self, x: Float[Array, "batch h w c_in"]) -> Float[Array, "batch h2 w2 c_out"]:
        """Activations after the block."""
        y = jax.nn.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """A convolution, stages of residual blocks, the mean over positions, a linear layer.

    He et al. 2016 (arXiv 1512.03385, section 4.2) with group norm (Wu & He 2018, arXiv 1803.08494)
    in place of batch norm, under which no per-example gradient exists.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        channels: Sequence[int],
        blocks: int,
        rngs: nnx.Rngs,
        convolution: Callable[..., Array] = jax.lax.conv_general_dilated,
    ):
        make_conv = partial(nnx.Conv, use_bias=False, conv_general_dilated=convolution)
        self.stem = make_conv(input_channels, channels[0], (3, 3), rngs=rngs)
        self.stem_norm = _norm(channels[0], rngs)
        stages = []
        width = channels[0]
        for stage, c_out in enumerate(channels):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(Block(width, c_out, stride, rngs, make_conv))
                width = c_out
        self.blocks = nnx.List(stages)
        self.head = nnx.Linear(width, num_classes, rngs=rngs)

    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch classes"]:
        """Logits of a batch."""
        x = jax.nn.relu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(axis=(1, 2)))


def resnet(
    input_shape: Sequence[int],
    num_classes: int,
    channels: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    *,
    by_patches: bool = False,
) -> Model:
    """A residual network for small images, with group norm.

    Args:
        input_shape: (height, width, channels) of one image; every stage but the first halves
            height and width.
        num_classes: number of logits.
        channels: width of each stage, multiples of 8 (the size of a normalization group).
        blocks: residual blocks per stage; 1 and 3 give the depths 8 and 20 of the paper's
            6n + 2 with its three stages.
        by_patches: whether to compute a convolution as one product of patches and kernel: in a
            loop on a CPU, as in `gujax.training`, many times faster.

    Returns:
        The model as pure functions.

    Raises:
        ValueError: if the input is not an image, there is no block, or a width is not a multiple
            of 8.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape={shape} is not (height, width, channels); use models.mlp for vectors"
        )
    if not channels or any(c % _CHANNELS_PER_GROUP for c in channels):
        raise ValueError(
            f"channels={tuple(channels)} must be one or more multiples of {_CHANNELS_PER_GROUP}"
        )
    check_count("blocks", blocks)
    convolution = choose_convolution(by_patches)

    def make(rngs: nnx.Rngs) -> ResNet:
        return ResNet(shape[2], num_classes, channels, blocks, rngs, convolution)

    return from_module(make, shape)
