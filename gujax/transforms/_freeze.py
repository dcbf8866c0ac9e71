"""Transform the per-example gradients of some parameters, and leave the others as they are."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from gujax.gradients import DeferredGrads
from gujax.transforms._wrappers import refuse_wrappers
from gujax.trees import is_factored


def freeze(
    transformation: optax.GradientTransformation,
    frozen: PyTree | Callable[[PyTree], PyTree],
) -> optax.GradientTransformationExtraArgs:
    """Apply a transformation of `gujax.transforms` to all parameters but the frozen ones.

    What a frozen parameter's gradient shows is not released: it must count neither in uniqueness
    nor in a norm that is clipped. Frozen parameters get an update of zero. Their gradients are
    dropped before anything is computed from them, so that under jit they cost nothing.

    Freezing after the transformation (`optax.chain(gate, optax.masked(…))`) is right about the
    update and counts the frozen gradients as disclosed. A way without this function is to
    differentiate only what is trained: `per_example_grads(loss)(trained, batch, frozen_params)`.

    An optimizer that follows sees gradients of zero; where it changes parameters all the same, as
    by weight decay, mask it too: `optax.chain(freeze(gate, frozen), optax.masked(adamw, trained))`.

    Args:
        transformation: one of `gujax.transforms`, or a chain that starts with one.
        frozen: true for frozen parameters: a pytree like the parameters, or a prefix of it, or a
            function that maps the parameters to one.

    Returns:
        Transformation whose `update` takes the same arguments, and `params`.

    Raises:
        ValueError: at `init` or `update`, if every parameter is frozen, or `params` are missing at
            `update`, or the gradients are microbatched.
    """
    inner = optax.with_extra_args_support(transformation)

    def trained(params: PyTree) -> list[bool]:
        tree = frozen(params) if callable(frozen) else frozen
        flags = jax.tree.leaves(jax.tree.broadcast(tree, params))
        if all(flags):
            raise ValueError("frozen is true for every parameter: nothing is left to be trained")
        return [not flag for flag in flags]

    def init(params: PyTree) -> PyTree:
        refuse_wrappers(params)
        return inner.init(_chosen(params, trained(params)))

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: object
    ) -> tuple[PyTree, PyTree]:
        refuse_wrappers(updates)
        if params is None:
            raise ValueError(
                "params are missing: freeze needs them; call update(grads, state, params)"
            )
        if isinstance(updates, DeferredGrads):
            raise ValueError(
                "grads are microbatched and have no leaves to leave out: differentiate only what "
                "is trained, per_example_grads(loss)(trained, batch, frozen_params)"
            )
        keep = trained(params)
        released, state = inner.update(
            _chosen(updates, keep), state, _chosen(params, keep), **extra
        )
        rest = iter(jax.tree.leaves(released))
        leaves, structure = jax.tree.flatten(params)
        full = [
            next(rest) if kept else jnp.zeros_like(leaf)
            for leaf, kept in zip(leaves, keep, strict=True)
        ]
        return jax.tree.unflatten(structure, full), state

    return optax.GradientTransformationExtraArgs(init, update)


def _chosen(tree: PyTree, keep: list[bool]) -> PyTree:
    """The tree with None, which holds nothing, in place of what is not kept."""
    leaves, structure = jax.tree.flatten(tree, is_leaf=is_factored)
    chosen = [leaf if kept else None for leaf, kept in zip(leaves, keep, strict=True)]
    return jax.tree.unflatten(structure, chosen)
