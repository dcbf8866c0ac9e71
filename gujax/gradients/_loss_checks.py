"""What the loss of one example cannot do: mix examples, or act on anything outside of itself.

JAX sees neither: normalization over a batch of one is an ordinary function of that example, and an
object that a loss changes is Python's. So both are refused where they can be recognized, with a
sentence that says what to change. What cannot be recognized is a user's own normalization over an
axis that the loss adds to its example; it is exact for the loss as written, in which the batch is
that one example.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jax.extend import core

MIXES_EXAMPLES = (
    "loss_fn normalizes over the batch ({}): then examples depend on each other and none has a "
    "gradient of its own. Use GroupNorm, LayerNorm or RMSNorm, or run BatchNorm with its running "
    "averages (use_running_average=True, is_training=False, or your library's inference mode)"
)
CHANGES_OBJECT = (
    "loss_fn changes an object from outside of it ({}): its gradient would be computed with a "
    "value from another trace. Change a copy that is made inside loss_fn (in Flax NNX: nnx.split "
    "outside, nnx.merge(..., copy=True) inside) and return what it becomes as aux"
)
HAS_EFFECT = (
    "loss_fn has a side effect or calls the host (`{}`): it is traced once and evaluated for all "
    "examples at a time, in any order and number. Remove it, or return what it reports as aux "
    "with has_aux=True"
)

# The batch normalizations that tell from their arguments whether they are in training mode. Those
# of Equinox, and all that are given an axis name, fail with an unbound axis instead.
_BATCH_NORMS = (("flax.nnx", "BatchNorm"), ("flax.linen", "BatchNorm"), ("haiku", "BatchNorm"))

# What JAX calls the effect of a program that makes references and writes to no others.
_ON_OWN_REFERENCES = "InternalMutableArrayEffect"

_in_one_example: ContextVar[bool] = ContextVar("in_one_example", default=False)


@contextmanager
def one_example() -> Iterator[None]:
    """While this is entered, a loss that is not a function of one example raises ValueError."""
    layers = [getattr(sys.modules[m], name) for m, name in _BATCH_NORMS if m in sys.modules]
    calls = [layer.__call__ for layer in layers]
    token = _in_one_example.set(True)
    try:
        for layer, call in zip(layers, calls, strict=True):
            layer.__call__ = _watched(call)
        yield
    except NameError as error:
        if "unbound axis name" not in str(error):
            raise
        raise ValueError(MIXES_EXAMPLES.format(error)) from error
    except ValueError as error:
        if "callbacks do not support" not in str(error):
            raise
        raise ValueError(HAS_EFFECT.format(error)) from error
    except Exception as error:
        if type(error).__name__ != "TraceContextError":  # Flax's, which is not imported here
            raise
        raise ValueError(CHANGES_OBJECT.format(error)) from error
    finally:
        for layer, call in zip(layers, calls, strict=True):
            layer.__call__ = call
        _in_one_example.reset(token)


def _watched(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a batch normalization, which refuses training mode inside of `one_example`.

    Other threads may call it meanwhile: for them it is what it was.
    """
    signature = inspect.signature(call)

    @functools.wraps(call)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _in_one_example.get():
            arguments = signature.bind(self, *args, **kwargs).arguments
            if _uses_batch_statistics(self, arguments):
                raise ValueError(MIXES_EXAMPLES.format(f"{type(self).__name__} in training mode"))
        return call(self, *args, **kwargs)

    return watched


def _uses_batch_statistics(layer: Any, arguments: dict[str, Any]) -> bool:
    if "is_training" in arguments:  # Haiku
        return bool(arguments["is_training"] or arguments.get("test_local_stats", False))
    averaged = arguments.get("use_running_average")  # Flax: the argument, then the attribute
    averaged = layer.use_running_average if averaged is None else averaged
    return averaged is not None and not averaged


def check_no_effects(jaxpr: core.Jaxpr) -> None:
    """Raise ValueError where a program calls the host or has an effect that can be seen outside.

    References that the loss makes itself, and those of a kernel, are its own affair.
    """
    _check_no_callbacks(jaxpr)
    for effect in jaxpr.effects:
        if type(effect).__name__ != _ON_OWN_REFERENCES:
            names = (eqn.primitive.name for eqn in jaxpr.eqns if effect in eqn.effects)
            raise ValueError(HAS_EFFECT.format(next(names, effect)))


def _check_no_callbacks(jaxpr: core.Jaxpr) -> None:
    for eqn in jaxpr.eqns:
        if "callback" in eqn.primitive.name:
            raise ValueError(HAS_EFFECT.format(eqn.primitive.name))
        for body in core.jaxprs_in_params(eqn.params):
            _check_no_callbacks(body)
