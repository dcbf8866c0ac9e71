"""PRECODE: a model with a variational bottleneck before one of its layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
from flax import nnx
from jax.interpreters import partial_eval
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.defenses._bottleneck import BuildBottleneck, VariationalBottleneck, linear
from gujax.defenses._insertion import parts_of, shape_before, submodules, wrap
from gujax.defenses._randomized import RandomizedModel, Sample, randomized_loss
from gujax.models import Model, from_module
from gujax.training import LossFn
from gujax.trees import named_leaves


@dataclass(frozen=True, kw_only=True)
class BottleneckModel(RandomizedModel):
    """A model with a variational bottleneck; as a `Model`, it takes the code's mean.

    Attributes:
        stochastic: paths of the parameters whose gradient the bottleneck makes stochastic: its own
            and those of all later layers. ``inversion.without(*model.stochastic)`` are the leaves
            that the adaptive attack matches (Scheliga, Mäder, Seeland 2022, arXiv 2208.04767).
            Others' gradients depend on the noise too, through what is propagated back to them, but
            a layer's input, which the attack reads from them, does not.
        encode: maps ``(params, x)`` of one example to what the encoder gives, before any noise.
        encoder: path of the encoder.
    """

    stochastic: tuple[str, ...]
    encode: Callable[[PyTree, Float[Array, "..."]], Float[Array, "..."]]
    encoder: str


def insert_bottleneck(
    model: Model, before: str = "head", bottleneck: BuildBottleneck | None = None
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
    make, input_shape = parts_of(model)
    build = bottleneck or linear()
    shape = shape_before(model, before)

    def make_with_bottleneck(rngs: nnx.Rngs) -> nnx.Module:
        return wrap(make(rngs), before, lambda layer: _Bottlenecked(build(shape, rngs), layer))

    structure = nnx.graphdef(nnx.eval_shape(lambda: make_with_bottleneck(nnx.Rngs(0))))

    def sample(
        params: PyTree, x: Float[Array, "..."], key: PRNGKeyArray
    ) -> tuple[Float[Array, " classes"], Float[Array, ""]]:
        module = nnx.merge(structure, params)
        place = submodules(module)[before]
        place.key = key
        logits = module(x[None])[0]
        return logits, place.divergence[0]

    def encode(params: PyTree, x: Float[Array, "..."]) -> Float[Array, "..."]:
        module = nnx.merge(structure, params)
        module(x[None])
        return submodules(module)[before].encoded[0]

    extended = from_module(make_with_bottleneck, input_shape)
    stochastic = _stochastic(extended.init, sample, input_shape, f"{before}/bottleneck/")
    return BottleneckModel(
        extended.init,
        extended.apply,
        extended.make,
        input_shape,
        sample=sample,
        stochastic=stochastic,
        encode=encode,
        encoder=f"{before}/bottleneck/encoder",
    )


def bottleneck_loss(model: BottleneckModel, beta: float = 1e-3) -> LossFn:
    """Loss of one example in training: cross-entropy + beta · KL divergence.

    Scheliga, Mäder, Seeland 2022 (arXiv 2108.04725): cross-entropy in nats, divergence in bits.

    Args:
        model: a model with a bottleneck.
        beta: weight of the KL divergence; the paper's if not given.

    Returns:
        ``loss_fn(params, (x, y, key))``, see `randomized_loss`.

    Raises:
        ValueError: if ``beta`` is negative.
    """
    return randomized_loss(model, beta)


@cache  # the same function for the same model, so that jit finds it again
def encoder_loss(model: BottleneckModel) -> LossFn:
    """What has the gradient of `bottleneck_loss` up to the encoder, whatever noise was drawn.

    The noise reaches the encoder and what is before it only through the error that is propagated
    back to the encoder's output. Of one example that error *is* the gradient of the encoder's
    bias, where the encoder is fully connected: who sees the update knows it. The gradient of
    ⟨error, encoder's output⟩ is then the victim's, with nothing random left to guess.

    Args:
        model: a model with a `linear` bottleneck.

    Returns:
        ``loss_fn(params, (x, error))`` of one example, a scalar.
    """

    def loss_fn(params: PyTree, example: tuple[Array, Array]) -> Float[Array, ""]:
        x, error = example
        return jnp.vdot(error, model.encode(params, x))

    return loss_fn


class _Bottlenecked(nnx.Module):
    """A layer and the bottleneck before it; it samples where it was given a key."""

    def __init__(self, bottleneck: VariationalBottleneck, layer: nnx.Module):
        self.bottleneck = bottleneck
        self.layer = layer
        self.key: PRNGKeyArray | None = nnx.data(None)
        self.divergence: Float[Array, " batch"] | None = nnx.data(None)
        self.encoded: Float[Array, "batch ..."] | None = nnx.data(None)

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        self.encoded = self.bottleneck.encoder(x)
        x, self.divergence = self.bottleneck.decoded(self.encoded, self.key)
        return self.layer(x)


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
