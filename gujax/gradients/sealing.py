"""Arrays that pass wherever JAX's do, and with which nothing can be computed.

Other people's tree code sees the leaves of whatever pytree it is handed. Were they the factors of
a product, dividing a tree by 8 would divide the product by 64, and nobody would notice. JAX has one
public kind of array that passes through `jit`, `vmap`, loops, branches and devices and refuses
arithmetic: typed PRNG keys. So factors leave our hands as the bits of such keys, one per example.
What moves whole examples (a slice, a permutation, a concatenation) or sets them to zero is right as
it is; anything else is an error in which the name of the type says what to do.
"""

from functools import cache, partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.random import define_prng_impl

REMEDY = (
    "reduce them with gujax.weighted_sum or a transformation of gujax.transforms first, or form "
    "them with gujax.materialize"
)


def refuse(*_: Any, **__: Any) -> NoReturn:
    """Raise TypeError: the caller takes per-example gradients for an array."""
    raise TypeError(f"per-example gradients that are kept as factors are no array: {REMEDY}")


class Opaque:
    """Base of what stands for gradients without being an array: all arithmetic is refused."""

    __array_ufunc__ = None  # NumPy's operators then ask ours
    __jax_array__ = __array__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = refuse
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __neg__ = __pos__ = __abs__ = refuse
    __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __len__ = __iter__ = __float__ = refuse

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} has no attribute {name!r}: it is no array but stands for "
            f"per-example gradients; {REMEDY}"
        )


@cache
def _kind(shape: tuple[int, ...]) -> Any:
    """The kind of keys that hold so many numbers each. JAX shows the tag in its errors."""
    return define_prng_impl(
        key_shape=shape,
        seed=refuse,
        split=refuse,
        random_bits=refuse,
        fold_in=refuse,
        name=f"gujax_factors_{shape}",
        tag="per-example gradients, kept as factors: use gujax.weighted_sum or gujax.materialize",
    )


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def seal(x: Array, axes: int) -> Array:
    """An array as keys: so many first axes stay, the others become the inside of a key.

    Keys are returned as they are.
    """
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    if x.dtype.itemsize < 8:  # eight bytes become an axis of two numbers
        x = x[..., None]
    bits = lax.bitcast_convert_type(x, jnp.dtype(f"uint{min(8 * x.dtype.itemsize, 32)}"))
    return jax.random.wrap_key_data(bits.astype(jnp.uint32), impl=_kind(bits.shape[axes:]))


@seal.defjvp
def _refuse_derivative(*_: Any) -> NoReturn:
    raise TypeError(
        "per-example gradients that are kept as factors have no derivative where they enter or "
        "leave jit, vmap, a loop or a branch: use them (gujax.gram, gujax.weighted_sum, …) inside "
        "of the function that computes them, or take method='dense'"
    )


def unseal(sealed: Array, dtype: np.dtype) -> Array:
    """The array of this type that was sealed."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return sealed
    return _as_type(jax.random.key_data(sealed), dtype)


def _as_type(bits: Array, dtype: np.dtype) -> Array:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        parts = _as_type(bits, np.finfo(dtype).dtype)
        return lax.complex(parts[..., 0], parts[..., 1])
    if dtype.itemsize < 8:
        bits = bits[..., 0].astype(jnp.dtype(f"uint{8 * dtype.itemsize}"))
    return bits.astype(bool) if dtype == bool else lax.bitcast_convert_type(bits, dtype)
