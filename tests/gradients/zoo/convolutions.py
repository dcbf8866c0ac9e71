"""Convolutions in one to three dimensions, with every attribute of conv_general_dilated."""

from functools import partial

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared

LAYOUTS = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}
_convolve = partial(jax.lax.conv_general_dilated, dimension_numbers=LAYOUTS[2])


def _convolution(name, kernel, image, layout=None, **attributes):
    """One convolution of one image per example, with `kernel` and `image` shapes as given."""

    def build(draw):
        spatial = len(kernel) - 2
        options = {"window_strides": (1,) * spatial, "padding": "VALID"} | attributes
        options["dimension_numbers"] = layout or LAYOUTS[spatial]

        def loss(p, x):
            return squared(jax.lax.conv_general_dilated(x[None], p, **options))

        return Case(loss, draw(*kernel), draw(BATCH, *image))

    build.__name__ = name
    case(build)


_convolution("conv_1d", (3, 2, 4), (7, 2))
_convolution("conv_1d_same", (4, 2, 3), (6, 2), padding="SAME")
_convolution("conv_2d", (3, 2, 2, 4), (5, 6, 2))
_convolution("conv_2d_one_by_one", (1, 1, 3, 4), (3, 3, 3))
_convolution("conv_2d_whole_image", (4, 4, 2, 3), (4, 4, 2))
_convolution("conv_2d_wide", (3, 3, 8, 9), (4, 4, 8), padding="SAME")
_convolution("conv_2d_strides", (3, 2, 2, 3), (8, 7, 2), window_strides=(2, 3))
_convolution("conv_2d_strides_same", (3, 3, 2, 3), (7, 7, 2), window_strides=(2, 2), padding="SAME")
_convolution("conv_2d_padding", (3, 3, 2, 3), (4, 5, 2), padding=((0, 2), (3, 1)))
_convolution("conv_2d_negative_padding", (2, 2, 2, 3), (6, 6, 2), padding=((-1, 0), (1, -2)))
_convolution("conv_2d_kernel_dilation", (2, 3, 2, 3), (7, 8, 2), rhs_dilation=(2, 3))
_convolution(
    "conv_2d_input_dilation", (3, 3, 2, 3), (3, 4, 2), lhs_dilation=(2, 3), padding=((1, 1), (0, 2))
)
_convolution(
    "conv_2d_everything",
    (2, 3, 2, 4),
    (6, 5, 4),
    window_strides=(2, 1),
    padding=((1, 2), (0, 3)),
    lhs_dilation=(1, 2),
    rhs_dilation=(3, 2),
    feature_group_count=2,
)
_convolution("conv_2d_groups", (3, 3, 2, 6), (5, 5, 6), feature_group_count=3)
_convolution("conv_2d_depthwise", (3, 3, 1, 4), (5, 5, 4), feature_group_count=4, padding="SAME")
_convolution("conv_2d_depthwise_multiplier", (3, 3, 1, 8), (5, 5, 4), feature_group_count=4)
_convolution(
    "conv_1d_depthwise_strided", (3, 1, 4), (9, 4), feature_group_count=4, window_strides=(2,)
)
_convolution(
    "conv_2d_channels_first",
    (4, 2, 3, 3),
    (2, 5, 5),
    layout=("NCHW", "OIHW", "NCHW"),
    window_strides=(2, 1),
)
_convolution("conv_2d_strange_layout", (3, 4, 2, 2), (5, 2, 5), layout=("NHCW", "HOIW", "CWNH"))
_convolution("conv_3d", (2, 3, 2, 2, 3), (4, 4, 3, 2))
_convolution(
    "conv_3d_strided_grouped",
    (2, 2, 2, 1, 4),
    (4, 5, 4, 2),
    window_strides=(2, 1, 2),
    feature_group_count=2,
    padding="SAME",
)


@case
def conv_batch_groups(draw):
    """The example holds several images, which meet only their own output channels."""

    def loss(p, x):
        y = _convolve(x, p, (1, 1), "VALID", batch_group_count=2)
        return squared(y)

    return Case(loss, draw(2, 2, 3, 4), draw(BATCH, 4, 4, 4, 3))


@case
def conv_of_several_frames(draw):
    def loss(p, x):
        y = _convolve(x, p, (2, 2), "SAME")
        return squared(y)

    return Case(loss, draw(3, 3, 2, 3), draw(BATCH, 3, 5, 5, 2))


@case
def conv_transposed(draw):
    def loss(p, x):
        y = jax.lax.conv_transpose(x[None], p["up"], (2, 2), "SAME", dimension_numbers=LAYOUTS[2])
        return squared(y) + squared(
            jax.lax.conv_transpose(
                x[None],
                p["valid"],
                (2, 3),
                "VALID",
                rhs_dilation=(1, 2),
                dimension_numbers=LAYOUTS[2],
                transpose_kernel=True,
            )
        )

    return Case(loss, {"up": draw(3, 3, 2, 4), "valid": draw(2, 3, 3, 2)}, draw(BATCH, 4, 3, 2))


@case
def conv_with_the_parameter_as_image(draw):
    """A learned image filtered by a kernel that comes with the example."""

    def loss(p, kernel):
        y = _convolve(p, kernel, (1, 1), "SAME")
        return squared(y)

    return Case(loss, draw(1, 5, 5, 2), draw(BATCH, 3, 3, 2, 3))


@case
def conv_with_one_kernel_twice(draw):
    def loss(p, x):
        for stride in (1, 2):
            x = jnp.tanh(_convolve(x[None], p, (stride, stride), "SAME")[0])
        return squared(x)

    return Case(loss, draw(3, 3, 3, 3), draw(BATCH, 5, 5, 3))


@case
def conv_circular(draw):
    def loss(p, x):
        padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="wrap")
        y = _convolve(padded[None], p, (1, 1), "VALID")
        return squared(y)

    return Case(loss, draw(3, 3, 2, 3), draw(BATCH, 4, 4, 2))


@case
def conv_numpy_style(draw):
    def loss(p, x):
        return squared(jnp.convolve(x, p, mode="full"))

    return Case(loss, draw(3), draw(BATCH, 7))


@case
def convolutional_classifier(draw):
    def loss(p, example):
        x, y = example
        for kernel, bias in p["blocks"]:
            x = _convolve(x[None], kernel, (1, 1), "SAME")
            x = jax.nn.relu(x + bias)[0]
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2, 1), (2, 2, 1), "VALID")
        logits = x.reshape(-1) @ p["out"]
        return jax.nn.logsumexp(logits) - logits[y]

    blocks = [(draw(3, 3, 1, 4), draw(4)), (draw(3, 3, 4, 6), draw(6))]
    params = {"blocks": blocks, "out": draw(2 * 2 * 6, 3)}
    return Case(loss, params, (draw(BATCH, 8, 8, 1), draw.integers(3, BATCH)))


@case
def residual_network(draw):
    def normalise(h, scale, bias):
        h = h.reshape(*h.shape[:2], 2, -1)
        h = (h - h.mean((0, 1, 3), keepdims=True)) / jnp.sqrt(
            h.var((0, 1, 3), keepdims=True) + 1e-5
        )
        return h.reshape(*h.shape[:2], -1) * scale + bias

    def conv(h, kernel):
        return _convolve(h[None], kernel, (1, 1), "SAME")[0]

    def loss(p, x):
        h = conv(x, p["stem"])
        for block in p["blocks"]:
            inner = jax.nn.relu(normalise(conv(h, block["k1"]), block["scale"], block["bias"]))
            h = h + conv(inner, block["k2"])
        return squared(h.mean((0, 1)) @ p["head"])

    blocks = [
        {"k1": draw(3, 3, 4, 4), "scale": 1 + draw(4), "bias": draw(4), "k2": draw(3, 3, 4, 4)}
        for _ in range(2)
    ]
    return Case(
        loss, {"stem": draw(3, 3, 2, 4), "blocks": blocks, "head": draw(4, 3)}, draw(BATCH, 4, 4, 2)
    )
