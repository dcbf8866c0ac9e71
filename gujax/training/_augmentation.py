"""Augmentation multiplicity: one example, several random copies, one gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.hashing import cached
from gujax.training._loss import LossFn
from gujax.validation import check_count

Augment = Callable[[PRNGKeyArray, Array], Array]


@dataclass(frozen=True)
class ShiftAndFlip:
    """Random copies of an image, as De et al. 2022 make them for CIFAR-10.

    Attributes:
        shift: largest shift, in pixels, up or down and to either side; each is equally likely.
            What enters from outside is the image reflected at its edge.
        flip: whether to exchange left and right, with probability 1/2.
    """

    shift: int
    flip: bool

    def __call__(self, key: PRNGKeyArray, x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """One random copy of an image."""
        if x.ndim != 3:
            raise ValueError(f"x has shape {x.shape}, but only images [height, width, channels]")
        shift_key, flip_key = jax.random.split(key)
        margins = ((self.shift, self.shift), (self.shift, self.shift), (0, 0))
        corner = jax.random.randint(shift_key, (2,), 0, 2 * self.shift + 1)
        copy = jax.lax.dynamic_slice(
            jnp.pad(x, margins, mode="reflect"), (*corner, jnp.zeros((), corner.dtype)), x.shape
        )
        mirrored = self.flip & jax.random.bernoulli(flip_key)
        return jnp.where(mirrored, copy[:, ::-1], copy)


@cached  # the same function for the same loss, so that jit finds it again
def augmented_loss(loss_fn: LossFn, augment: Augment, multiplicity: int) -> LossFn:
    """Mean loss of several random copies of one example (De et al. 2022, arXiv 2204.13650, §3.2).

    The copies belong to one example: its gradient is that of their mean loss, clipped and counted
    once, so that they cost no privacy.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, (x, y))``.
        augment: maps a PRNG key and x to a random copy of x; hashable.
        multiplicity: number of copies K.

    Returns:
        ``loss(params, (x, y, key))``, for ``randomized=True`` of `train` and `train_many`.

    Raises:
        ValueError: if ``multiplicity`` is not at least 1.
    """
    check_count("multiplicity", multiplicity)

    def loss(params: PyTree, example: tuple[Array, Array, PRNGKeyArray]) -> Float[Array, ""]:
        x, y, key = example
        copies = jax.vmap(augment, (0, None))(jax.random.split(key, multiplicity), x)
        return jnp.mean(jax.vmap(lambda copy: loss_fn(params, (copy, y)))(copies))

    return loss
