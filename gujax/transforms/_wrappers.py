"""Optax's wrappers do not fit around a reduction of per-example gradients: say so, and what does.

They assume that what goes in has the shape of what comes out. Around one of our transformations
they hand on [examples, …] where a parameter's update belongs, or add one batch's examples to
another's. None of it is visible in the arrays that arrive; who calls is.
"""

import inspect

import jax
import optax
from jaxtyping import PyTree

_WRAPPERS = {
    "optax.transforms._accumulation": "MultiSteps",
    "optax.transforms._conditionality": "apply_if_finite, conditionally_transform or _mask",
}


def refuse_wrappers(tree: PyTree) -> None:
    """Raise ValueError where a transformation was put inside of a wrapper that breaks it.

    Args:
        tree: parameters or updates, as the wrapper hands them on.
    """
    masked = lambda node: isinstance(node, optax.MaskedNode)  # noqa: E731
    if any(map(masked, jax.tree.leaves(tree, is_leaf=masked))):
        raise ValueError(
            "a transformation of per-example gradients is inside of optax.masked, partition or "
            "multi_transform, which hand on the per-example gradients of all other parameters as "
            "if they were updates: freeze parameters by gujax.transforms.freeze(transformation, "
            "frozen), first in the chain, and put the wrapper around what follows"
        )
    frame = inspect.currentframe()
    while frame is not None:
        wrapper = _WRAPPERS.get(frame.f_globals.get("__name__", ""))
        if wrapper is not None:
            raise ValueError(
                f"a transformation of per-example gradients is inside of optax's {wrapper}, which "
                "takes per-example gradients for updates of the parameters' shape: put the wrapper "
                "around what follows, as in optax.chain(gate, optax.MultiSteps(adam, k))"
            )
        frame = frame.f_back
