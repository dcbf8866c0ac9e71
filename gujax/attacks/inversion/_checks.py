"""Checks of what an inversion is given, before anything is compiled."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from gujax.attacks.inversion._attack import GradientMatching
from gujax.attacks.inversion.search import Candidate
from gujax.training import GradientFn
from gujax.trees import weigh


def check_unknowns(inputs_like: PyTree, labels: PyTree | None, num_classes: int | None) -> None:
    """Check that it is clear what to search for.

    Raises:
        ValueError: if the inputs are not floating arrays with one leading axis, or labels are
            both given and to be searched for.
    """
    leaves = jax.tree.leaves(inputs_like)
    if not leaves or not all(jnp.issubdtype(x.dtype, jnp.floating) for x in leaves):
        found = ", ".join(str(x.dtype) for x in leaves) or "none"
        raise ValueError(
            f"inputs_like has arrays of type {found}; only floating inputs can be searched for, so "
            "pass the others with labels"
        )
    sizes = {x.shape[:1] for x in leaves}
    if len(sizes) != 1 or () in sizes:
        shapes = ", ".join(str(x.shape) for x in leaves)
        raise ValueError(
            f"inputs_like has shapes {shapes}; all need the same leading axis of examples, of size "
            "1 for a single one"
        )
    if labels is not None and num_classes is not None:
        raise ValueError(
            f"num_classes={num_classes} asks to search for labels that are given; leave out one "
            "of labels and num_classes"
        )
    if num_classes is not None and num_classes < 2:
        raise ValueError(f"num_classes={num_classes} must be at least 2")


def as_labels(labels: PyTree | None) -> PyTree | None:
    """Labels with a list of numbers as the array that it stands for, not as a tree of scalars."""
    if isinstance(labels, list | tuple) and all(jnp.ndim(x) == 0 for x in jax.tree.leaves(labels)):
        return jnp.asarray(labels)
    return labels


def check_observed(
    attack: GradientMatching,
    gradient_fn: GradientFn,
    params: PyTree,
    observed: PyTree,
    labels: PyTree | None,
    candidates: Candidate,
) -> None:
    """Check that what was shared can be matched.

    Args:
        attack: the attack.
        gradient_fn: the attacker's model of what is shared.
        params: the model's parameters.
        observed: what V victims shared, [V, ...].
        labels: their labels, [V, B], or None.
        candidates: their first candidates, [V, restarts, ...].

    Raises:
        ValueError: if shapes do not fit, a value is not finite, or no leaf is matched.
    """
    num_victims = jax.tree.leaves(candidates.inputs)[0].shape[0]
    for name, value in (("observed", observed), ("labels", labels)):
        for leaf in jax.tree.leaves(value):
            if jnp.shape(leaf)[:1] != (num_victims,):
                raise ValueError(
                    f"{name} has an array of shape {jnp.shape(leaf)}; it needs a leading axis of "
                    f"{num_victims} victims, one for each of keys"
                )
    first = jax.tree.map(lambda x: x[0, 0], candidates)
    batch_size = len(jax.tree.leaves(first.inputs)[0])
    for leaf in jax.tree.leaves(labels):
        if jnp.shape(leaf)[1:2] != (batch_size,):
            raise ValueError(
                f"labels of one victim have shape {jnp.shape(leaf)[1:]}; there must be one for "
                f"each of the {batch_size} examples of inputs_like, ({batch_size},)"
            )
    known = jax.tree.map(lambda x: x[0], labels)
    expected = jax.eval_shape(gradient_fn, params, first.examples(known))
    given = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), observed)
    if _shapes(given) != _shapes(expected):
        raise ValueError(
            f"observed has leaves {_shapes(given)}, gradient_fn gives {_shapes(expected)}; "
            "gradient_fn must model what was shared"
        )
    jax.eval_shape(lambda update: weigh(attack.leaf_weights, update), expected)
    for path, leaf in jax.tree_util.tree_leaves_with_path(observed):
        if not jnp.isfinite(leaf).all():
            raise ValueError(
                f"observed{jax.tree_util.keystr(path)} has entries that are not finite; the "
                "model has probably diverged"
            )


def _shapes(update: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(update)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
