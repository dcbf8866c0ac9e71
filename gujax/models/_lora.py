"""LoRA: small trained factors beside the frozen matrices of any model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.models._model import Model
from gujax.validation import check_count, check_positive


class AdaptedLinear(nnx.Linear):
    """A linear layer whose matrix W has the low-rank term ``scale`` · A B added to it."""

    def __init__(self, layer: nnx.Linear, rank: int, scale: float, *, rngs: nnx.Rngs):
        super().__init__(layer.in_features, layer.out_features, use_bias=layer.use_bias, rngs=rngs)
        normal = nnx.initializers.normal(1 / math.sqrt(layer.in_features))
        self.scale = scale
        self.down = nnx.LoRAParam(normal(rngs.params(), (layer.in_features, rank)))
        self.up = nnx.LoRAParam(jnp.zeros((rank, layer.out_features)))

    def __call__(self, inputs: Array, out_sharding: object = None) -> Array:
        """Outputs of the layer, the term computed in its factors."""
        added = (inputs @ self.down[...]) @ self.up[...]
        return super().__call__(inputs) + self.scale * added


@dataclass(frozen=True)
class Lora:
    """Adapters of a model, as pure functions.

    Attributes:
        init: maps a PRNG key to adapters, a pytree; the model with them is the one without.
        apply: maps ``(adapters, base, x)`` to what the model's `apply` gives; ``base`` are the
            model's own parameters. Losses take them as what examples share:
            ``loss_fn(adapters, example, base)``.
        merge: maps ``(base, adapters)`` to parameters of the plain model with the same function.
    """

    init: Callable[[PRNGKeyArray], PyTree]
    apply: Callable[[PyTree, PyTree, Array], Float[Array, "..."]]
    merge: Callable[[PyTree, PyTree], PyTree]


def lora(
    model: Model, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] | None = None
) -> Lora:
    """Adapters for the linear layers of a model.

    Hu et al. 2021 (arXiv 2106.09685): W + (alpha / rank) A B, where A is random and B zero at
    first. Only A and B are trained.

    Args:
        model: a model of `gujax.models`, which is built by its ``make``.
        rank: rank of the added term.
        alpha: alpha / rank scales it.
        targets: names of the layers to adapt, as in the parameters' tree (``"queries"``,
            ``"values"``); all linear layers if None.

    Returns:
        The adapters' functions.

    Raises:
        ValueError: if a number is not positive, the model has no ``make``, or a target is no
            linear layer of it.
    """
    check_count("rank", rank)
    check_positive("alpha", alpha)
    if model.make is None:
        raise ValueError("model has no make, so its layers cannot be adapted; use gujax.models")
    build, scale = model.make, alpha / rank
    found: set[str] = set()

    def make(rngs: nnx.Rngs) -> nnx.Module:
        module = build(rngs)
        places = [
            (parent, name, layer)
            for _, parent in nnx.iter_graph(module)
            if isinstance(parent, nnx.Module)
            for name, layer in vars(parent).items()
            if isinstance(layer, nnx.Linear)
        ]
        found.update(name for _, name, _ in places)
        for parent, name, layer in places:
            if targets is None or name in targets:
                setattr(parent, name, AdaptedLinear(layer, rank, scale, rngs=rngs))
        return module

    shapes = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    unknown = sorted(set(targets or ()) - found)
    if unknown or not found:
        raise ValueError(
            f"targets names {', '.join(unknown) or 'nothing'}, which is no linear layer of the "
            f"model; it has {', '.join(sorted(found)) or 'none'}"
        )
    structure = nnx.graphdef(shapes)
    num_inputs = None if model.input_shape is None else len(model.input_shape)

    def init(key: PRNGKeyArray) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.LoRAParam))

    def apply(adapters: PyTree, base: PyTree, x: Array) -> Float[Array, "..."]:
        axes = 1 if num_inputs is None else num_inputs  # language models: tokens [T]
        batch = x.shape[: x.ndim - axes]
        outputs = nnx.merge(structure, adapters, base)(x.reshape(-1, *x.shape[len(batch) :]))
        return outputs.reshape(*batch, *outputs.shape[1:])

    def merge(base: PyTree, adapters: PyTree) -> PyTree:
        if not isinstance(adapters, dict):
            return base
        if "down" in adapters and "up" in adapters and not isinstance(adapters["down"], dict):
            kernel = base["kernel"] + scale * (adapters["down"] @ adapters["up"])
            return {**base, "kernel": kernel}
        return {
            name: merge(leaf, adapters[name]) if name in adapters else leaf
            for name, leaf in base.items()
        }

    return Lora(init, apply, merge)
