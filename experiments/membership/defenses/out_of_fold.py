"""Labels from out of fold: a student, with a little noise, of teachers that saw nothing alike.

Near-duplicates are in one fold: a teacher that has seen one answers for the other as if it had seen
that too.

The student trains as DP-SGD does, with the noise that is its strength; it comes with no ε, as its
labels are not private. Threat model and cost: `gujax.defenses.out_of_fold_labels`.
"""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import optax
from jaxtyping import Bool, Int, PRNGKeyArray

from experiments.membership.defenses import dp_noise
from experiments.membership.defenses._method import Labels, Method, Pairs, Privacy, Strength
from experiments.tasks.recipe import Recipe, descent_of, fit
from experiments.tasks.task import Task
from gujax import data, defenses, transforms
from gujax.training import BatchPlan, plan_batches

FOLDS = 2
REPEATS = 4


def label(task: Task, recipe: Recipe, members: Pairs, key: PRNGKeyArray) -> Labels:
    """Soft labels for each student, [M, N, classes], by teachers that train as plain SGD does.

    Args:
        recipe: That of the teachers; of its practices augmentation, averaging and standardized
            weights are left out.
    """
    alike = data.near_duplicates(task.dataset.train.x)
    taught = _taught(task, members, key, alike).reshape(-1, members.shape[1]).sum(axis=1)
    recipe = fit(recipe, int(taught.min()))
    plain = replace(recipe, augmentation_multiplicity=0, shift=0, flip=False, average_decay=0.0)
    plan = plan_batches(int(taught.max()), plain.batch_size, plain.epochs)
    return defenses.out_of_fold_labels(
        task.dataset.train,
        task.model,
        _optimizer(plain, plan.physical_size, plan.steps_per_epoch * plain.epochs),
        folds=FOLDS,
        repeats=REPEATS,
        batch_size=plain.batch_size,
        epochs=plain.epochs,
        key=key,
        member_masks=members,
        groups=alike,
    )


def check(task: Task, members: Pairs, key: PRNGKeyArray) -> None:
    """Checks that every teacher will have examples of every class.

    Raises:
        ValueError: If not, or if there are fewer members than folds.
    """
    _taught(task, members, key, data.near_duplicates(task.dataset.train.x))


def _taught(
    task: Task, members: Pairs, key: PRNGKeyArray, alike: Int[np.ndarray, " examples"]
) -> Bool[np.ndarray, "students repeats folds examples"]:
    """What each teacher is trained on."""
    return defenses.check_folds(
        task.dataset.train,
        task.dataset.num_classes,
        folds=FOLDS,
        repeats=REPEATS,
        key=key,
        member_masks=members,
        groups=alike,
    )


def account(noise: float, delta: float, plan: BatchPlan, num_steps: int, recipe: Recipe) -> Privacy:
    """The student's noise; no ε."""
    given = dp_noise.account(0.0, delta, plan, num_steps, recipe)
    return replace(given, noise_multiplier=noise)


@cache  # the same function for the same teachers, so that those of every seed are one program
def _optimizer(recipe: Recipe, batch_size: int, num_steps: int):
    return partial(_chain, recipe, batch_size, num_steps)


def _chain(
    recipe: Recipe, batch_size: int, num_steps: int, key: PRNGKeyArray
) -> optax.GradientTransformation:
    return optax.chain(transforms.mean(batch_size=batch_size), descent_of(recipe, num_steps))


METHOD = Method(
    label="out of fold, noise {:g}".format,
    color="#E69F00",
    start=dp_noise.METHOD.start,
    like="dp_noise",
    strength=Strength(
        "standard deviation of the student's noise over its clipping norm",
        defaults=(0.1,),
        allowed=lambda noise: noise >= 0,
        must="0 or more",
    ),
    sampling="poisson",
    account=account,
    adapts=dp_noise.clipped,
    delta=dp_noise.METHOD.delta,
    labels=label,
    checks=check,
    front="out of fold",
)
