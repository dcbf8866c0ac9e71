"""A curvature for ReLU, which has none: the search's way out of the wrong activation pattern.

The gradient that is matched jumps where a unit of the candidate begins or ceases to be active, and
between the jumps its derivative does not show them: ReLU's second derivative is 0. A search that
follows the true derivative therefore stays with the activation pattern that it comes upon. Spiking
networks are trained through the same jump by a surrogate derivative (Neftci, Mostafa, Zenke 2019,
arXiv 1901.09948); here it serves an attack.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, Float, PyTree

from gujax.gradients import bind, inline
from gujax.hashing import cached
from gujax.training import LossFn
from gujax.validation import check_positive


@cached  # the same function for the same loss, so that jit finds it again
def surrogate_relu(loss_fn: LossFn, sharpness: float = 1.0) -> LossFn:
    """The same loss with the same gradient, whose ReLUs have the second derivative of softplus.

    Only what differentiates the gradient again, as a search by gradient matching does, sees a
    difference. Give the result to `batch_gradient`. Every `jax.nn.relu` of the loss is replaced,
    in whichever library the model is written; those inside ``scan``, ``cond`` and ``while`` are
    not, nor is ``jnp.maximum(x, 0)``, whose derivative at 0 is another.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, example)``.
        sharpness: β, in one over the units of the activations: ReLU'' is taken to be
            β σ(βz) (1 - σ(βz)) at z, which is ``softplus(β z) / β`` differentiated twice.

    Returns:
        A loss function; the same one for the same arguments.

    Raises:
        ValueError: if ``sharpness`` is not positive.
    """
    check_positive("sharpness", sharpness)

    def apply(eqn: core.JaxprEqn, arguments: list[Any]) -> Sequence[Any]:
        return [_relu(sharpness, *arguments)] if _is_relu(eqn) else bind(eqn, arguments)

    def loss(params: PyTree, example: PyTree) -> Float[Array, ""]:
        program = inline(jax.make_jaxpr(loss_fn)(params, example), apply)
        (value,) = core.jaxpr_as_fun(program)(*jax.tree.leaves((params, example)))
        return value

    return loss


def _is_relu(eqn: core.JaxprEqn) -> bool:
    """Whether an equation is `jax.nn.relu`: max(z, 0) with a derivative of its own."""
    if eqn.primitive.name != "custom_jvp_call":
        return False
    body = inline(eqn.params["call_jaxpr"]).jaxpr
    if [inner.primitive.name for inner in body.eqns] != ["max"]:
        return False
    (maximum,) = body.eqns
    return any(isinstance(a, core.Literal) and a.val == 0 for a in maximum.invars)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _relu(sharpness: float, z: Array) -> Array:
    return jnp.maximum(z, 0)


@_relu.defjvp
def _(sharpness: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (tangent,) = primals, tangents
    return _relu(sharpness, z), _active(sharpness, z) * tangent


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _active(sharpness: float, z: Array) -> Array:
    return (z > 0).astype(z.dtype)


@_active.defjvp
def _(sharpness: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (z,), (tangent,) = primals, tangents
    sigmoid = jax.nn.sigmoid(sharpness * z)
    return _active(sharpness, z), sharpness * sigmoid * (1 - sigmoid) * tangent
