"""LeNet as gradient inversion is usually shown on it."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from gujax.models._convolution import choose_convolution
from gujax.models._model import Model, from_module

Activation = Literal["sigmoid", "relu"]

_CHANNELS = 12
_STRIDES = (2, 2, 1)
_ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}


def _wide(key: PRNGKeyArray, shape: Sequence[int], dtype: jax.typing.DTypeLike) -> Array:
    return jax.random.uniform(key, shape, dtype, -0.5, 0.5)


class LeNet(nnx.Module):
    """Three 5 × 5 convolutions of 12 channels, strides 2, 2 and 1; then a linear layer."""

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        activation: Activation,
        rngs: nnx.Rngs,
        convolution: Callable[..., Array] = jax.lax.conv_general_dilated,
    ):
        # With small weights the sigmoids are nearly linear and their gradients vanish, so the
        # paper draws all weights and biases wide.
        wide = activation == "sigmoid"
        kernel_init = _wide if wide else nnx.initializers.lecun_normal()  # Flax's default
        bias_init = _wide if wide else nnx.initializers.zeros_init()
        height, width, channels = input_shape
        self.activation: Callable[[Array], Array] = _ACTIVATIONS[activation]
        self.convolutions = nnx.List(
            [
                nnx.Conv(
                    channels if i == 0 else _CHANNELS,
                    _CHANNELS,
                    kernel_size=(5, 5),
                    strides=stride,
                    padding=2,
                    kernel_init=kernel_init,
                    bias_init=bias_init,
                    conv_general_dilated=convolution,
                    rngs=rngs,
                )
                for i, stride in enumerate(_STRIDES)
            ]
        )
        num_features = -(-height // 4) * -(-width // 4) * _CHANNELS
        self.head = nnx.Linear(
            num_features, num_classes, kernel_init=kernel_init, bias_init=bias_init, rngs=rngs
        )

    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch classes"]:
        """Logits of a batch."""
        for convolution in self.convolutions:
            x = self.activation(convolution(x))
        return self.head(x.reshape(x.shape[0], -1))


def lenet(
    input_shape: Sequence[int],
    num_classes: int,
    activation: Activation = "sigmoid",
    *,
    by_patches: bool = False,
) -> Model:
    """The LeNet of Zhu et al. 2019 (Deep Leakage from Gradients, arXiv 1906.08935).

    No pooling: strides keep the gradient smooth in the input. With ``"sigmoid"``, weights and
    biases start uniform on (-0.5, 0.5), as in the paper's code; with ``"relu"``, which later
    attacks are shown on, they start as Flax does by default.

    Args:
        input_shape: (height, width, channels) of one image.
        num_classes: number of logits.
        activation: ``"sigmoid"`` or ``"relu"``.
        by_patches: whether to compute a convolution as one product of patches and kernel: in a
            loop on a CPU, as in `gujax.training`, many times faster.

    Returns:
        The model as pure functions.

    Raises:
        ValueError: if the input is not an image or the activation is unknown.
    """
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape={shape} is not (height, width, channels); use models.mlp for vectors"
        )
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation={activation!r} must be one of {', '.join(_ACTIVATIONS)}")
    convolution = choose_convolution(by_patches)

    def make(rngs: nnx.Rngs) -> LeNet:
        return LeNet(shape, num_classes, activation, rngs, convolution)

    return from_module(make, shape)
