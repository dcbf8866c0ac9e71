"""Arrays that pass wherever JAX's do, and with which nothing can be computed.

Other people's tree code sees the leaves of whatever pytree it is handed. Were they the factors of
a product, dividing a tree by 8 would divide the product by 64, and nobody would notice. JAX has one
public kind of array that passes through `jit`, `vmap`, loops, branches and devices and refuses
arithmetic: typed PRNG keys. So factors leave our hands as the bits of such keys, one per example.
What moves whole examples (a slice, a permutation, a concatenation) or sets them to zero is right as
it is; anything else is an error in which the name of the type says what to do.

Keys can still be filled with a number, reversed or rearranged along axes. A `witness` goes through
the same hands and tells: its axes have different lengths, and its entries are different numbers.
"""

import math
from functools import cache, partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.random import define_prng_impl
from jaxtyping import Bool

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


def seal(x: Array, axes: int, rank: int) -> Array:
    """An array as keys: so many first axes stay, the others become the inside of a key.

    Args:
        x: an array of any type; PRNG keys stay what they are.
        axes: so many axes stay.
        rank: of the result; axes of length 1 are added.
    """
    return x if _is_key(x) else _seal(x, axes, rank)


def unseal(sealed: Any, dtype: Any, axes: int, rank: int) -> Array:
    """The array of this type that was sealed.

    Raises:
        TypeError: it is no longer as `seal` returned it.
    """
    if not _is_key(sealed):
        raise TypeError(f"per-example gradients were replaced in their tree: {REMEDY}")
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return sealed
    if sealed.ndim != rank or any(length != 1 for length in sealed.shape[axes:]):
        raise TypeError(
            "per-example gradients that are kept as factors have only an axis of examples; here "
            f"they were given the shape {sealed.shape}: {REMEDY}"
        )
    return _unseal(sealed, dtype, axes)


def witness(lengths: tuple[int, ...], rank: int) -> Array:
    """Keys [*lengths, 2, 3, …] of so many axes, to be sealed and opened beside the factors."""
    return _seal(_numbers(lengths, rank), rank, rank)


def unchanged(sealed: Any, axes: int, rank: int, zero: bool) -> Bool[Array, "..."]:
    """Whether what was done to a witness was right to do, for every entry of its first axes.

    Args:
        sealed: the witness.
        axes: its first axes.
        rank: all its axes.
        zero: whether it is right to set everything to zero.

    Raises:
        TypeError: it was not, which is known at once.
    """
    shape = getattr(sealed, "shape", ())
    if not _is_key(sealed) or shape[axes:] != tuple(range(2, 2 + rank - axes)):
        raise TypeError(f"the axes of per-example gradients were changed: {REMEDY}")
    right = _compare(sealed, axes, rank, zero)
    if not isinstance(right, jax.core.Tracer) and not right.all():
        raise TypeError(f"per-example gradients were filled or rearranged: {REMEDY}")
    return right


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(getattr(x, "dtype", bool), jax.dtypes.prng_key)


# Compiled, because outside of jit each line would be a program of its own.
_compiled = partial(jax.jit, inline=True)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _as_keys(x: Array, axes: int, rank: int) -> Array:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype == bool:
        x = x.astype(jnp.uint8)
    if x.dtype.itemsize < 8:  # eight bytes become an axis of two numbers
        x = x[..., None]
    bits = lax.bitcast_convert_type(x, jnp.dtype(f"uint{min(8 * x.dtype.itemsize, 32)}"))
    inside = bits.shape[axes:]
    bits = lax.expand_dims(bits, range(axes, rank))
    return jax.random.wrap_key_data(bits.astype(jnp.uint32), impl=_kind(inside))


@_as_keys.defjvp
def _refuse_derivative(*_: Any) -> NoReturn:
    raise TypeError(
        "per-example gradients that are kept as factors have no derivative where they enter or "
        "leave jit, vmap, a loop or a branch: use them (gujax.gram, gujax.weighted_sum, …) inside "
        "of the function that computes them, or take method='dense'"
    )


_seal = _compiled(_as_keys, static_argnums=(1, 2))


@partial(_compiled, static_argnums=(1, 2))
def _unseal(sealed: Array, dtype: np.dtype, axes: int) -> Array:
    return _as_type(lax.squeeze(jax.random.key_data(sealed), range(axes, sealed.ndim)), dtype)


@partial(_compiled, static_argnums=(0, 1))
def _numbers(lengths: tuple[int, ...], rank: int) -> Array:
    """Numbers that a witness holds, different ones for every entry of its last axes."""
    shape = tuple(range(2, 2 + rank - len(lengths)))
    numbers = jnp.arange(1, 1 + math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.broadcast_to(numbers, (*lengths, *shape))


@partial(_compiled, static_argnums=(1, 2, 3))
def _compare(sealed: Array, axes: int, rank: int, zero: bool) -> Array:
    found = jax.random.key_data(sealed)[..., 0]
    rest = tuple(range(axes, rank))
    right = jnp.all(found == _numbers(sealed.shape[:axes], rank), axis=rest)
    return right | jnp.all(found == 0, axis=rest) if zero else right


def _as_type(bits: Array, dtype: np.dtype) -> Array:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        parts = _as_type(bits, np.finfo(dtype).dtype)
        return lax.complex(parts[..., 0], parts[..., 1])
    if dtype.itemsize < 8:
        bits = bits[..., 0].astype(jnp.dtype(f"uint{8 * dtype.itemsize}"))
    return bits.astype(dtype) if dtype.kind == "b" else lax.bitcast_convert_type(bits, dtype)
