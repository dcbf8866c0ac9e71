"""The precision of matrix products whose results are compared, inverted or measured.

By default JAX multiplies float32 matrices in fewer bits where the hardware is faster with them:
TF32 (11 bits) on an NVIDIA GPU, bfloat16 (8 bits) on a TPU. That is good enough for the gradient
that an optimizer gets, but not for a Gram matrix, of which GNQ takes an inverse.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

Result = TypeVar("Result")


def exact_products(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function` with all products of float32 in float32, unless the caller says otherwise.

    A caller who would rather be fast says so with `jax.default_matmul_precision("tensorfloat32")`,
    or with any other setting of that name: it is then left as it is.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Result:
        if jax.config.values["jax_default_matmul_precision"] is not None:
            return function(*args, **kwargs)
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return wrapped
