"""Where a defense that changes the model goes: before one of its layers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from gujax.models import Model

Make = Callable[[nnx.Rngs], nnx.Module]


def parts_of(model: Model) -> tuple[Make, tuple[int, ...]]:
    """What builds the model's module, and the shape of one example.

    Raises:
        ValueError: if the model has no module.
    """
    if model.make is None or model.input_shape is None:
        raise ValueError(
            "model has no module to put a layer into; make it with gujax.models.from_module"
        )
    return model.make, model.input_shape


def shape_before(model: Model, before: str) -> tuple[int, ...]:
    """Shape of one example's features where they enter a layer; nothing is computed.

    Args:
        model: a model of a module.
        before: path of the layer, with "/" between its parts.

    Raises:
        ValueError: if the model has no module or no such layer, or the layer is not called exactly
            once for an input.
    """
    make, input_shape = parts_of(model)
    shapes: list[tuple[int, ...]] = []

    def probe(x: Float[Array, "1 ..."]) -> Float[Array, "1 ..."]:
        return wrap(make(nnx.Rngs(0)), before, lambda layer: _Probe(layer, shapes.append))(x)

    jax.eval_shape(probe, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))
    if len(shapes) != 1:
        raise ValueError(
            f"before={before!r} is a layer that is called {len(shapes)} times for an input; choose "
            "one that is called once"
        )
    return shapes[0]


def submodules(module: nnx.Module) -> dict[str, Any]:
    """The module and all below it, by their paths."""
    return {"/".join(map(str, path)): child for path, child in nnx.iter_modules(module)}


def wrap(module: nnx.Module, path: str, wrapper: Callable[[nnx.Module], nnx.Module]) -> nnx.Module:
    """The module with the layer at ``path`` replaced, in place, by ``wrapper(layer)``.

    Raises:
        ValueError: if there is no such layer.
    """
    modules = submodules(module)
    layers = [name for name, child in modules.items() if name and callable(child)]
    if path not in layers:
        raise ValueError(f"before={path!r} is no layer of the model; it has {', '.join(layers)}")
    parent_path, _, name = path.rpartition("/")
    parent = modules[parent_path]
    if isinstance(parent, nnx.List):
        parent[int(name)] = wrapper(modules[path])
    else:
        setattr(parent, name, wrapper(modules[path]))
    return module


class _Probe(nnx.Module):
    """A layer that reports the shapes of its inputs."""

    def __init__(self, layer: nnx.Module, report: Callable[[tuple[int, ...]], None]):
        self.layer = layer
        self.report = report

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        self.report(x.shape[1:])
        return self.layer(x)
