"""PRECODE: a model with a variational bottleneck before one of its layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.interpreters import partial_eval
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.defenses.bottleneck import Build, VariationalBottleneck, linear
from gujax.gradients.algebra import named_leaves
from gujax.models import Model, from_module
from gujax.training.loss import GradientFn, LossFn, cross_entropy
from gujax.validation import check_count, check_nonnegative

Make = Callable[[nnx.Rngs], nnx.Module]
Sample = Callable[
    [PyTree, Float[Array, "..."], PRNGKeyArray],
    tuple[Float[Array, "classes"], Float[Array, ""]],
]


@dataclass(frozen=True, kw_only=True)
class BottleneckModel(Model):
    """A model with a variational bottleneck.

    As a `Model`, it is evaluated: ``apply`` takes the code's mean and draws nothing.

    Attributes:
        sample: maps ``(params, x, key)`` of one example x [*input] to its logits [classes], with a
            code drawn from the key, and its KL divergence in bits.
        stochastic: paths of the parameters whose gradient the bottleneck makes stochastic: its own
            and those of all later layers. ``inversion.without(*model.stochastic)`` are the leaves
            that the adaptive attack matches (Scheliga, Mäder, Seeland 2022, arXiv 2208.04767).
            Others' gradients depend on the noise too, through what is propagated back to them, but
            a layer's input, which the attack reads from them, does not.
    """

    sample: Sample
    stochastic: tuple[str, ...]


def insert_bottleneck(
    model: Model, before: str = "head", bottleneck: Build | None = None
) -> BottleneckModel:
    """Put a variational bottleneck before a layer of a model.

    PRECODE (arXiv 2108.04725) is `linear` before the last layer, which is ``"head"``, or of an MLP
    with two hidden layers ``"layers/2"``; CVB (arXiv 2309.04515) is `convolutional` before an early
    one, such as ``"convolutions/1"``. What was ``"head/kernel"`` becomes ``"head/layer/kernel"``,
    beside ``"head/bottleneck/encoder/kernel"`` and so on.

    Args:
        model: a model of a Flax NNX module, such as those of `gujax.models`, or
            `gujax.models.from_module` of your own.
        before: path of the layer, with "/" between its parts; it maps one array to another.
        bottleneck: `linear` or `convolutional`; ``linear()`` if None.

    Returns:
        The model as pure functions.

    Raises:
        ValueError: if the model has no module or no such layer, the layer is not called exactly
            once for an input, or the bottleneck is not for inputs of its shape.
    """
    make, input_shape = model.make, model.input_shape
    if make is None or input_shape is None:
        raise ValueError(
            "model has no module to put a bottleneck into; make it with gujax.models.from_module"
        )
    build = bottleneck or linear()
    shape = _shape_before(make, input_shape, before)

    def make_with_bottleneck(rngs: nnx.Rngs) -> nnx.Module:
        return _wrap(make(rngs), before, lambda layer: _Bottlenecked(build(shape, rngs), layer))

    structure = nnx.graphdef(nnx.eval_shape(lambda: make_with_bottleneck(nnx.Rngs(0))))

    def sample(
        params: PyTree, x: Float[Array, "..."], key: PRNGKeyArray
    ) -> tuple[Float[Array, "classes"], Float[Array, ""]]:
        module = nnx.merge(structure, params)
        place = _modules(module)[before]
        place.key = key
        logits = module(x[None])[0]
        return logits, place.divergence[0]

    extended = from_module(make_with_bottleneck, input_shape)
    stochastic = _stochastic(extended.init, sample, input_shape, f"{before}/bottleneck/")
    return BottleneckModel(
        extended.init,
        extended.apply,
        extended.make,
        input_shape,
        sample=sample,
        stochastic=stochastic,
    )


@cache  # the same function for the same model, so that jit finds it again
def bottleneck_loss(model: BottleneckModel, beta: float = 1e-3) -> LossFn:
    """Loss of one example in training: cross-entropy + beta · KL divergence.

    Scheliga, Mäder, Seeland 2022 (arXiv 2108.04725): cross-entropy in nats, divergence in bits.

    Args:
        model: a model with a bottleneck.
        beta: weight of the KL divergence.

    Returns:
        ``loss_fn(params, (x, y, key))``, a scalar; y is an integer or a distribution over classes,
        [classes]. The key is that of the example's noise, so that examples of a batch differ:
        ``jax.random.split(key, batch_size)``, fresh in every step.

    Raises:
        ValueError: if ``beta`` is negative.
    """
    check_nonnegative("beta", beta)

    def loss_fn(params: PyTree, example: tuple[Array, Array, PRNGKeyArray]) -> Float[Array, ""]:
        x, y, key = example
        logits, divergence = model.sample(params, x, key)
        return cross_entropy(logits, y) + beta * divergence

    return loss_fn


def noise_averaged(gradient_fn: GradientFn, key: PRNGKeyArray, num_samples: int = 1) -> GradientFn:
    """The gradient averaged over the noise, as an attacker who cannot know it would model it.

    The same draws are used in every call, so that a search has a fixed objective. With one draw
    it is the attack that guesses the noise. Keep the function: every new one is compiled anew.

    Args:
        gradient_fn: ``gradient_fn(params, (x, y, keys))`` of a randomized loss, such as
            ``batch_gradient(bottleneck_loss(model))``.
        key: PRNG key of the draws.
        num_samples: number of draws.

    Returns:
        ``gradient_fn(params, (x, y))``, to be given to `gujax.attacks.inversion.invert`.

    Raises:
        ValueError: if ``num_samples`` is below 1.
    """
    check_count("num_samples", num_samples)

    def averaged(params: PyTree, examples: PyTree) -> PyTree:
        x, y = examples
        keys = jax.random.split(key, (num_samples, len(x)))
        gradients = jax.vmap(lambda k: gradient_fn(params, (x, y, k)))(keys)
        return jax.tree.map(lambda g: g.mean(axis=0), gradients)

    return averaged


class _Bottlenecked(nnx.Module):
    """A layer and the bottleneck before it; it samples where it was given a key."""

    def __init__(self, bottleneck: VariationalBottleneck, layer: nnx.Module):
        self.bottleneck = bottleneck
        self.layer = layer
        self.key: PRNGKeyArray | None = nnx.data(None)
        self.divergence: Float[Array, "batch"] | None = nnx.data(None)

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        x, self.divergence = self.bottleneck(x, self.key)
        return self.layer(x)


class _Probe(nnx.Module):
    """A layer that reports the shapes of its inputs."""

    def __init__(self, layer: nnx.Module, report: Callable[[tuple[int, ...]], None]):
        self.layer = layer
        self.report = report

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        self.report(x.shape[1:])
        return self.layer(x)


def _shape_before(make: Make, input_shape: tuple[int, ...], before: str) -> tuple[int, ...]:
    """Shape of one example's features where they enter the layer; nothing is computed."""
    shapes: list[tuple[int, ...]] = []

    def probe(x: Float[Array, "1 ..."]) -> Float[Array, "1 ..."]:
        return _wrap(make(nnx.Rngs(0)), before, lambda layer: _Probe(layer, shapes.append))(x)

    jax.eval_shape(probe, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))
    if len(shapes) != 1:
        raise ValueError(
            f"before={before!r} is a layer that is called {len(shapes)} times for an input; a "
            "bottleneck is placed before one that is called once"
        )
    return shapes[0]


def _modules(module: nnx.Module) -> dict[str, Any]:
    return {"/".join(map(str, path)): child for path, child in nnx.iter_modules(module)}


def _wrap(module: nnx.Module, path: str, wrapper: Callable[[nnx.Module], nnx.Module]) -> nnx.Module:
    """The module with the layer at ``path`` replaced, in place, by ``wrapper(layer)``."""
    modules = _modules(module)
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


def _stochastic(
    init: Callable[[PRNGKeyArray], PyTree],
    sample: Sample,
    input_shape: tuple[int, ...],
    own_prefix: str,
) -> tuple[str, ...]:
    """Paths of the bottleneck's parameters and of those that its input does not depend on."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(init, key)
    x = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    # The divergence depends on the encoder and on all that comes before it, and on nothing else.
    program = jax.make_jaxpr(lambda *args: sample(*args)[1])(params, x, key)
    _, needed = partial_eval.dce_jaxpr(program.jaxpr, [True])
    paths = [path for path, _ in named_leaves(params)]
    return tuple(
        path for path, before in zip(paths, needed) if not before or path.startswith(own_prefix)
    )
