"""How good a configuration is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from experiments.jobs.tune.options import Options
from experiments.jobs.tune.trials import Trial
from experiments.membership.defenses import Place
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import descent
from experiments.tasks.task import Task, initial_params, logits_of_many
from experiments.tasks.training import train_models
from experiments.tasks.tuned import tuned_loss, tuned_optimizer, with_tuned
from gujax import training


def validation_accuracy(
    task: Task, trial: Trial, halves: Bool[np.ndarray, "repeats examples"], options: Options
) -> Float[np.ndarray, " recipes"]:
    """Mean accuracy of each recipe on the examples that its models are not trained on."""
    # Averaging changes no update: a recipe with it and one without share their models.
    runs = list(dict.fromkeys(replace(recipe, average_decay=0.0) for recipe in trial.recipes))
    first, repeats, train = trial.recipes[0], len(halves), task.dataset.train
    task = adapted(task, first)
    masks = np.tile(halves, (len(runs), 1))
    # Other streams than those of the jobs that train by what is found here.
    init_key, train_key = jax.random.split(jax.random.fold_in(jax.random.key(0), 3))
    keys = jax.random.split(init_key, repeats)
    initial = initial_params(task, keys)
    params = with_tuned(
        jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(runs)), initial),
        learning_rate=_repeated([r.learning_rate for r in runs], repeats),
        final_factor=_repeated([1.0 - r.cosine_decay for r in runs], repeats),
        l2_norm_clip=_repeated([r.l2_norm_clip or 1.0 for r in runs], repeats),
    )
    result = train_models(
        replace(task, loss_fn=tuned_loss(task.loss_fn)),
        first,
        _tuned_optimizer(trial, masks, options),
        masks,
        jax.random.split(train_key, len(masks)),
        params,
        trial.defense.method.sampling,
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
    trial: Trial, masks: Bool[np.ndarray, "models examples"], options: Options
) -> Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs]:
    defense, recipe = trial.defense, trial.recipes[0]
    method = defense.method
    plan = training.plan_batches(masks, recipe.batch_size, recipe.epochs, method.sampling)
    num_steps = plan.steps_per_epoch * recipe.epochs
    average_decay = max(recipe.average_decay for recipe in trial.recipes)
    ledger = masks.shape[1] if method.needs_ledger else None
    privacy = None
    if method.account is not None:
        assert defense.strength is not None
        privacy = method.account(defense.strength, options.delta, plan, num_steps, recipe)

    def chain(tuned: dict[str, Array], key: PRNGKeyArray) -> optax.GradientTransformation:
        clipped = privacy
        if privacy:  # the clip travels with the parameters, so it is traced
            clipped = replace(privacy, l2_norm_clip=tuned["l2_norm_clip"])  # type: ignore[arg-type]
        place = Place(
            options.relative_ridge, plan.physical_size, ledger, plan.batch_size, clipped, key
        )
        first = method.start(defense.strength, place)
        follow = descent(recipe.optimizer, tuned["learning_rate"], tuned["final_factor"], num_steps)
        return optax.chain(first, follow, training.average_parameters(average_decay))

    return tuned_optimizer(chain)


def _repeated(values: Sequence[float], repeats: int) -> Float[Array, " models"]:
    return jnp.repeat(jnp.asarray(values, jnp.float32), repeats)
