"""How good a configuration is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from experiments.jobs.tune.trials import Trial
from experiments.membership.defenses import account, aggregation
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import descent
from experiments.tasks.task import Task, initial_params, logits_of_many
from experiments.tasks.tuned import tuned_loss, tuned_optimizer, with_tuned
from gujax import training, transforms

if TYPE_CHECKING:
    from experiments.jobs.tune.job import Options


def validation_accuracy(
    task: Task, trial: Trial, halves: Bool[np.ndarray, "repeats examples"], options: "Options"
) -> Float[np.ndarray, " recipes"]:
    """Mean accuracy of each recipe on the examples that its models were not trained on.

    Args:
        task: Data and model.
        trial: Configurations.
        halves: Examples that each repeat trains on, [repeats, N].
        options: Strengths of the defenses.
    """
    # Averaging changes no update: a recipe with it and one without share their models.
    runs = list(dict.fromkeys(replace(recipe, average_decay=0.0) for recipe in trial.recipes))
    first, repeats, train = trial.recipes[0], len(halves), task.dataset.train
    task = adapted(task, first)
    masks = np.tile(halves, (len(runs), 1))
    keys = jax.random.split(jax.random.key(0), repeats)
    initial = initial_params(task, keys)
    params = with_tuned(
        jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(runs)), initial),
        learning_rate=_repeated([r.learning_rate for r in runs], repeats),
        final_factor=_repeated([1.0 - r.cosine_decay for r in runs], repeats),
        l2_norm_clip=_repeated([r.l2_norm_clip or 1.0 for r in runs], repeats),
    )
    result = training.train_many(
        tuned_loss(task.loss_fn),
        params,
        train,
        _tuned_optimizer(trial, masks, options),
        member_masks=masks,
        keys=jax.random.split(jax.random.key(1), len(masks)),
        batch_size=first.batch_size,
        epochs=first.epochs,
        sampling="poisson" if trial.defense.family == "dp_sgd" else "shuffle",
        randomized=first.augments,
        progress=False,
    )

    def judge(params: PyTree) -> Float[np.ndarray, " runs"]:
        logits = logits_of_many(task, params, train)
        correct = np.where(masks, False, logits.argmax(-1) == train.y).sum(axis=1)
        accuracy = correct / (~masks).sum(axis=1)
        return accuracy.reshape(len(runs), repeats).mean(axis=1)

    last = result.params["model"]
    judged = {False: judge(last), True: judge(training.released_params(last, result.opt_state))}
    return np.array(
        [
            judged[recipe.average_decay > 0][runs.index(replace(recipe, average_decay=0.0))]
            for recipe in trial.recipes
        ]
    )


def _tuned_optimizer(
    trial: Trial, masks: Bool[np.ndarray, "models examples"], options: "Options"
) -> Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs]:
    family, recipe = trial.defense.family, trial.recipes[0]
    plan = training.plan_batches(
        masks, recipe.batch_size, recipe.epochs, "poisson" if family == "dp_sgd" else "shuffle"
    )
    num_steps = plan.steps_per_epoch * recipe.epochs
    average_decay = max(recipe.average_decay for recipe in trial.recipes)
    noise = 0.0
    if trial.defense.epsilon is not None:
        privacy = account(trial.defense.epsilon, options.delta, plan, num_steps, recipe)
        noise = privacy.noise_multiplier

    def chain(tuned: dict[str, Array], key: PRNGKeyArray) -> optax.GradientTransformation:
        if family == "dp_sgd":
            first = transforms.dp_sgd(
                tuned["l2_norm_clip"], noise, plan.batch_size, key, batch_size=plan.physical_size
            )
        else:
            first = aggregation(
                trial.defense, options.relative_ridge, plan.physical_size, num_examples=None
            )
        follow = descent(recipe.optimizer, tuned["learning_rate"], tuned["final_factor"], num_steps)
        return optax.chain(first, follow, training.average_parameters(average_decay))

    return tuned_optimizer(chain)


def _repeated(values: Sequence[float], repeats: int) -> Float[Array, " models"]:
    return jnp.repeat(jnp.asarray(values, jnp.float32), repeats)
