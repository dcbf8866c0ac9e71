"""Arrays spread over a mesh whose axes are explicit, as those of `jax.make_mesh` are.

The type of such an array names the mesh axes that it is spread over, and JAX asks for a placement
wherever that of a result does not follow from its inputs: a Gram matrix of rows spread over an axis
would be spread over that axis twice. What gujax computes is no place for such a decision, so it is
run with these axes automatic, where XLA places what lies between the inputs and the results.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import chex
import jax
import numpy as np
from jax import Array
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from gujax.validation import is_concrete

Result = TypeVar("Result")
Tree = TypeVar("Tree")


def automatic_axes(
    function: Callable[..., Result], out: PartitionSpec | None = None
) -> Callable[..., Result]:
    """`function` for arrays on any mesh: where they have explicit axes, these become automatic.

    A function of other arrays is called as it is.

    Args:
        function: its arguments are pytrees, its results pytrees of arrays. It closes over no array:
            those would keep their explicit axes.
        out: how every result is spread over the explicit axes; None for the same whole array on
            every device.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Result:
        leaves, structure = jax.tree.flatten(opened((args, kwargs)))
        mesh = explicit_mesh(leaves)
        if mesh is None:
            return function(*args, **kwargs)

        def with_arrays(arrays: dict[int, Array]) -> Result:
            values = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
            args, kwargs = closed(jax.tree.unflatten(structure, values))
            return function(*args, **kwargs)

        placement = NamedSharding(mesh, PartitionSpec() if out is None else out)
        run = jax.sharding.auto_axes(with_arrays, axes=mesh.explicit_axes, out_sharding=placement)
        return run({i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, Array)})

    return wrapped


def opened(tree: chex.ArrayTree) -> Any:
    """The tree with the arrays of factored gradients as its leaves, in place of sealed ones."""
    return _each_with("opened", tree)


def closed(tree: chex.ArrayTree) -> Any:
    """What was `opened`, as it was."""
    return _each_with("closed", tree)


def _each_with(method: str, tree: chex.ArrayTree) -> Any:
    """The tree with what has a method of this name replaced by what that returns."""
    has = lambda node: hasattr(type(node), method)  # noqa: E731
    call = lambda node: getattr(node, method)() if has(node) else node  # noqa: E731
    return jax.tree.map(call, tree, is_leaf=has)


def whole(tree: Tree) -> Tree:
    """The same arrays, each whole on every device as far as explicit axes go."""
    return jax.tree.map(automatic_axes(lambda x: x), tree)


def varying_like(tree: Tree, batch: chex.ArrayTree) -> Tree:
    """Inside of `jax.shard_map`: the tree, typed as one that differs wherever the batch does.

    JAX adds up, over the devices, the gradient of what is the same on all of them. Of parameters
    of this type every example has a gradient of its own.
    """
    axes = {axis for leaf in jax.tree.leaves(batch) for axis in _varying(leaf)}

    def cast(leaf: Any) -> Any:
        missing = tuple(sorted(axes - _varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree)


def by_element(rows: Array, axes: PartitionSpec) -> Array:
    """Rows [examples, elements], spread over devices by element where they were by example.

    Every device then has its share of the elements of all examples, so that inner products of rows
    take one exchange of them where otherwise each device is sent all.

    Args:
        axes: as `example_axes` gives them, which are automatic here; rows stay as they are where
            they are spread over none.
    """
    if not axes:
        return rows
    return jax.lax.with_sharding_constraint(rows, PartitionSpec(None, *axes))


def take(batch: Tree, rows: np.ndarray) -> Tree:
    """The examples of these numbers, spread as the batch is where there are enough of them."""
    mesh, out = explicit_mesh(batch), example_axes(batch)
    if mesh is not None and out:
        axes = out[0] if isinstance(out[0], tuple) else (out[0],)
        if len(rows) % math.prod(mesh.shape[axis] for axis in axes):
            out = PartitionSpec()
    chosen = automatic_axes(lambda batch: jax.tree.map(lambda x: x[rows], batch), out)
    return chosen(batch)


def explicit_mesh(tree: chex.ArrayTree) -> Mesh | AbstractMesh | None:
    """The mesh with explicit axes that some array of the tree lies on, or None.

    Outside of jit it is the mesh of devices: a result that depends on no array of the mesh, as a
    number given by the caller, is still to be placed on them.
    """
    for leaf in jax.tree.leaves(opened(tree)):
        mesh = jax.typeof(leaf).sharding.mesh if isinstance(leaf, Array) else None
        if mesh is not None and mesh.explicit_axes:
            return leaf.sharding.mesh if is_concrete(leaf) else mesh
    return None


def example_axes(batch: chex.ArrayTree) -> PartitionSpec:
    """The explicit mesh axes over which the examples of a batch are spread; most often none."""
    for leaf in jax.tree.leaves(opened(batch)):
        spec = jax.typeof(leaf).sharding.spec if isinstance(leaf, Array) else None
        if spec and spec[0] is not None:
            return PartitionSpec(spec[0])
    return PartitionSpec()


def _varying(leaf: Any) -> frozenset[str]:
    """The axes of `jax.shard_map` along which an array differs from device to device."""
    return jax.typeof(leaf).manual_axis_type.varying if isinstance(leaf, Array) else frozenset()
