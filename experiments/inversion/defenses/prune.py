"""Pruning: the smallest entries of every leaf become 0."""

from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._plain import aggregate
from experiments.inversion.sharing import Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses
from gujax.attacks import inversion


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The pruned gradient; who knows of it compares the entries that are left."""
    prune = defenses.prune(strength)
    plain = aggregate(task, setting.batch_size)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        return defenses.perturb(prune, plain.share(params, examples, key))

    adaptive = replace(plain.naive, matching_loss=_surviving_cosine_distance)
    return replace(plain, share=share, adaptive=adaptive)


def _surviving_cosine_distance(
    candidate: Sequence[Array], observed: Sequence[Array]
) -> Float[Array, ""]:
    """Cosine distance of the entries that were not pruned."""
    surviving = [jnp.where(o != 0, c, 0) for c, o in zip(candidate, observed)]
    return inversion.cosine_distance(surviving, observed)


METHOD = Method(
    position=60,
    label="pruning {:g}",
    build=build,
    strength=0.99,
    meaning="share of the entries of each leaf that become 0",
    adaptations=("of pruning it compares only entries that survived",),
)
