"""A layer is a prefix of the parameter tree."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array, Float

from gujax.gradients import MicrobatchedGrads, gram
from gujax.trees import named_leaves


def layer_names(params: chex.ArrayTree) -> tuple[str, ...]:
    """Names of the layers of a parameter tree: the parents of its leaves, in the tree's order.

    Args:
        params: parameters, or per-example gradients, of any structure.

    Returns:
        Paths with "/" between their parts, ``"layers/0"`` for ``{"layers": {0: {"kernel": ...}}}``.
        A leaf at the top of the tree is a layer of its own.
    """
    return tuple(dict.fromkeys(name.rpartition("/")[0] or name for name, _ in named_leaves(params)))


def layers_by_use(
    function: Callable[..., Any],
    params: chex.ArrayTree,
    *arguments: Any,
    layers: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Layers from the input to the output, which the tree's (alphabetical) order does not tell.

    Args:
        function: called as ``function(params, *arguments)``, such as ``model.apply``; it is traced
            and not run. Layers used inside of one jitted call keep their order.
        params: parameters.
        *arguments: the function's other arguments.
        layers: prefixes of paths, see `split_layers`; all layers of `layer_names` if None.

    Returns:
        The layers in the order in which the function first uses a parameter of each.

    Raises:
        ValueError: as `split_layers`.
    """
    chosen = split_layers(params, layers)
    program = jax.make_jaxpr(function)(params, *arguments).jaxpr
    first_use: dict[Any, int] = {}
    for position, equation in enumerate(program.eqns):
        for variable in equation.invars:
            if not isinstance(variable, Literal):
                first_use.setdefault(variable, position)
    used = {
        path: first_use.get(variable, len(program.eqns))
        for (path, _), variable in zip(named_leaves(params), program.invars)
    }
    return tuple(sorted(chosen, key=lambda name: min(used[path] for path in chosen[name])))


def split_layers(
    tree: chex.ArrayTree, layers: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """The leaves of each layer.

    Args:
        tree: parameters or per-example gradients (dense or factored).
        layers: prefixes of paths, whole parts only: ``"layers/1"`` has ``"layers/1/kernel"`` and
            not ``"layers/10/kernel"``. They may overlap. All layers of `layer_names` if None.

    Returns:
        For each layer, its leaves by their path.

    Raises:
        ValueError: a prefix matches no parameter, ``layers`` is empty, or the gradients are
            microbatched: they have no leaves.
    """
    if isinstance(tree, MicrobatchedGrads):
        raise ValueError(
            "grads are microbatched and have no leaves: take per_example_grads without "
            "microbatch_size, of a block of examples at a time"
        )
    named = named_leaves(tree)
    names = layer_names(tree) if layers is None else tuple(layers)
    if not names:
        raise ValueError("layers is empty: name at least one, or pass None for all")
    found = {
        name: {path: leaf for path, leaf in named if f"{path}/".startswith(f"{name}/")}
        for name in names
    }
    for name, leaves in found.items():
        if not leaves:
            raise ValueError(
                f"layers has {name!r}, which matches no parameter; "
                f"there are {', '.join(path for path, _ in named)}"
            )
    return found


def principal_coordinates(
    grads: chex.ArrayTree, width: int
) -> Float[np.ndarray, "examples {width}"]:
    """Coordinates of centered gradients along their first principal directions.

    From the Gram matrix, so that factored gradients are never formed. It brings the gradients of
    all layers, whatever their size, to one width, keeping as much of their variance as a linear map
    can; a random map instead of this one is `gujax.sketch`. No attribute takes part in it.

    Args:
        grads: per-example gradients of one layer (an entry of `split_layers`) or of a whole model;
            or any pytree of arrays with a leading axis of examples.
        width: number of coordinates. Where the gradients have fewer dimensions than that, the last
            ones are zero.

    Returns:
        Float64 coordinates, [examples, width], in descending order of variance, in units of the
        gradient.

    Raises:
        ValueError: ``width`` is below 1, or not below the number of examples.
    """
    return coordinates_from_gram(gram(grads), width)


def coordinates_from_gram(
    gram_matrix: Float[np.ndarray | Array, "examples examples"], width: int, *, center: bool = True
) -> Float[np.ndarray, "examples {width}"]:
    """Coordinates of gradients along their first principal directions, from their inner products.

    Args:
        gram_matrix: inner products, as `gujax.gram` gives them, [examples, examples].
        width: as for `principal_coordinates`.
        center: whether the mean gradient is subtracted first. If not, directions are the right
            singular vectors, and the coordinates keep the angles that `subspace_distance` compares.

    Returns:
        As `principal_coordinates`; in descending order of the mean square if not centered.

    Raises:
        ValueError: ``width`` is below 1, or not below the number of examples.
    """
    gram_matrix = np.asarray(gram_matrix)
    products = gram_matrix.astype(np.float64)
    if not 1 <= width < len(products):
        raise ValueError(
            f"width={width} must be between 1 and {len(products) - 1}: {len(products)} centered "
            "examples span no more directions; take more examples or a smaller width"
        )
    if center:
        products -= products.mean(axis=0)
        products -= products.mean(axis=1, keepdims=True)
    variances, directions = np.linalg.eigh((products + products.T) / 2)
    variances, directions = variances[::-1][:width], directions[:, ::-1][:, :width]
    # Below the resolution of the Gram matrix an eigenvalue is rounding error, of either sign.
    resolution = np.finfo(gram_matrix.dtype).eps * len(products) * variances[0]
    return directions * np.sqrt(np.where(variances > resolution, variances, 0))


def as_matrix(representation: chex.ArrayTree) -> Float[np.ndarray, "examples features"]:
    """A pytree of arrays with a leading axis of examples as one float64 matrix.

    Raises:
        ValueError: leaves disagree about the number of examples, or an entry is not finite.
    """
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(representation)]
    if len({leaf.shape[:1] for leaf in leaves}) != 1 or not leaves[0].ndim:
        shapes = [leaf.shape for leaf in leaves]
        raise ValueError(
            f"a representation has leaves of shapes {shapes}; each needs a leading axis of as many "
            "examples (materialize factored gradients, or take their principal_coordinates)"
        )
    matrix = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
    if not np.isfinite(matrix).all():
        raise ValueError(
            "a representation has entries that are not finite; leave those examples out"
        )
    return matrix
