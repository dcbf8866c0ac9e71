"""Inversion of one shared gradient or of many at once, watched from the host."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.attacks.inversion._attack import GradientMatching
from gujax.attacks.inversion._checks import as_labels, check_observed, check_unknowns
from gujax.attacks.inversion.search import advance, best, start
from gujax.hashing import hashable
from gujax.progress import Progress
from gujax.training import GradientFn

_PROGRESS_TICKS = 20


class Reconstruction(NamedTuple):
    """What an attack found.

    Attributes:
        inputs: the inputs, shaped as ``inputs_like``.
        labels: the labels it was given, or the distributions over classes that it found,
            [B, classes], or None.
        matching_loss: matching loss at ``inputs``, without the regularizer.
    """

    inputs: PyTree
    labels: PyTree | None
    matching_loss: Float[Array, ""]


def invert(
    attack: GradientMatching,
    gradient_fn: GradientFn,
    params: PyTree,
    observed: PyTree,
    key: PRNGKeyArray,
    *,
    inputs_like: PyTree,
    labels: PyTree | None = None,
    num_classes: int | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Reconstruct a batch from what was shared about it.

    What the attacker believes was computed is ``gradient_fn``; it need not be what the victim
    computed. So noise, pruning, a bottleneck or several local steps are attacked by passing what
    was shared as ``observed`` and the attacker's model of it as ``gradient_fn``.

    Args:
        attack: the parts of the search.
        gradient_fn: ``gradient_fn(params, examples)``, a pytree like ``observed``; a function of
            `batch_gradient` (of `surrogate_relu` where there are ReLUs), or any that is
            differentiable in the examples' inputs. It is given ``(inputs, labels)``, or ``inputs``
            if there are neither ``labels`` nor ``num_classes``.
        params: the model's parameters.
        observed: what was shared.
        key: PRNG key of the starts.
        inputs_like: shapes of the inputs, a pytree of floating arrays or `jax.ShapeDtypeStruct`,
            with a leading axis of the B examples; values are not read.
        labels: labels if the attacker knows them, [B], an array or a list of numbers; or a pytree
            of arrays, [B, ...]. See `count_labels`.
        num_classes: number of classes if the labels are searched for too.
        progress: called with the number of steps done and of all steps, about twenty times.

    Returns:
        The reconstruction with the least matching loss over the restarts.

    Raises:
        ValueError: if an argument is out of range or does not fit the others, no leaf is matched,
            or ``observed`` is not finite.
    """
    lifted_observed, lifted_labels = jax.tree.map(
        lambda x: jnp.asarray(x)[None], (observed, as_labels(labels))
    )
    found = invert_many(
        attack,
        gradient_fn,
        params,
        lifted_observed,
        key[None],
        inputs_like=inputs_like,
        labels=lifted_labels,
        num_classes=num_classes,
        progress=progress,
    )
    return jax.tree.map(lambda x: x[0], found)


def invert_many(
    attack: GradientMatching,
    gradient_fn: GradientFn,
    params: PyTree,
    observed: PyTree,
    keys: PRNGKeyArray,
    *,
    inputs_like: PyTree,
    labels: PyTree | None = None,
    num_classes: int | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Attack V victims of the same model at once: the search of `invert` under ``vmap``.

    Victim v is what `invert` gives for ``observed[v]``, ``labels[v]`` and ``keys[v]``, up to
    rounding.

    Args:
        attack: the parts of the search.
        gradient_fn: ``gradient_fn(params, examples)`` of one victim.
        params: the model's parameters, shared by the victims.
        observed: what each victim shared; each leaf has a leading axis V.
        keys: PRNG keys, [V].
        inputs_like: shapes of one victim's inputs, [B, ...].
        labels: labels if the attacker knows them, [V, B].
        num_classes: number of classes if the labels are searched for too.
        progress: called with the number of steps done and of all steps, about twenty times.

    Returns:
        The reconstructions; every array has a leading axis V.

    Raises:
        ValueError: as `invert`.
    """
    check_unknowns(inputs_like, labels, num_classes)
    gradient_fn, labels = hashable(gradient_fn), as_labels(labels)
    state = start(attack, keys, inputs_like, num_classes)
    check_observed(attack, gradient_fn, params, observed, labels, state.candidate)

    steps_per_tick = -(-attack.num_iterations // (_PROGRESS_TICKS if progress else 1))
    for done in range(0, attack.num_iterations, steps_per_tick):
        steps = min(steps_per_tick, attack.num_iterations - done)
        state = advance(attack, gradient_fn, steps, state, params, observed, labels)
        if progress is not None:
            jax.block_until_ready(state)
            progress(done + steps, attack.num_iterations)
    candidate, matching_loss = best(state)
    return Reconstruction(candidate.inputs, candidate.labels(labels), matching_loss)
