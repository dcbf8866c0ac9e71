"""The attack on the published model, predicted from it and one more training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
from jaxtyping import Bool, PyTree

import gujax
from experiments.jobs.audit.options import Options
from experiments.membership.defenses import prepare
from experiments.membership.policy import PUBLISHED
from experiments.membership.prediction import equal_none
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task
from gujax import training
from gujax.data import Split
from gujax.statistics import Interval

Rerun = tuple[PyTree, Bool[np.ndarray, " pool"]]

ATTACK = ("auc", "tpr_1pct", "tpr_01pct", "example_auc")


@dataclass(frozen=True)
class Published:
    """The predicted attack by someone who sees the published model.

    Attributes:
        assessment: Of training, then held-out examples; None if the data allow none.
        unsafe: Why no number should be relied on, sentences; a policy then fails.
    """

    assessment: gujax.Assessment | None
    unsafe: tuple[str, ...]

    @property
    def measures(self) -> dict[str, Interval]:
        """Of the attack over all examples, and of the AUC against the most exposed one."""
        found = self.assessment
        if found is None:
            return {}
        values = found.auc, found.tpr(0.01), found.tpr(0.001), found.most_exposed_auc
        return dict(zip(ATTACK, values, strict=True))

    @property
    def limited(self) -> dict[str, float]:
        """What a policy may limit: upper ends of intervals; NaN where they are not safe."""
        if self.unsafe:
            return dict.fromkeys(PUBLISHED, float("nan"))
        highs = [interval.high for interval in self.measures.values()]
        return dict(zip(PUBLISHED, highs, strict=True))

    def of_members(self, count: int) -> Mapping[str, np.ndarray]:
        """Predicted shift and AUC of each of so many training examples; NaN if unknown."""
        if self.assessment is None:
            return dict.fromkeys(("predicted_shift", "predicted_auc"), np.full(count, np.nan))
        table = self.assessment.table
        return {"predicted_shift": table["shift"][:count], "predicted_auc": table["auc"][:count]}


def held_out(task: Task) -> Split:
    """The test examples, without those that a training example equals."""
    train, test = task.dataset.train, task.dataset.test
    kept = equal_none(test.x, train.x)
    return Split.from_arrays(test.x[kept], test.y[kept])


def train_again(options: Options, fitted: Task, recipe: Recipe, outside: Split) -> Rerun:
    """Trains as the audited model was, with another seed, on as many examples.

    They are drawn from training and held-out examples together. A half of both would be fewer than
    the audited model has, and what is due to that would count as deviation.

    Args:
        options: Defense, ridge and seed.
        fitted: The task as the recipe trains it.
        recipe: How.
        outside: Held-out examples.

    Returns:
        The released parameters, and which of training, then held-out examples they are of.
    """
    train = fitted.dataset.train
    pool = Split.from_arrays(
        *(np.concatenate(parts) for parts in zip(_arrays(train), _arrays(outside)))
    )
    rng = np.random.default_rng([options.seed, 1])
    mask = rng.permutation(len(pool)) < len(train)
    ready = prepare(options.trained_under, recipe, mask, options.relative_ridge, measure=False)
    init_key, train_key = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), 1))
    trained = training.train(
        fitted.loss_fn,
        fitted.model.init(init_key),
        pool,
        ready.make_optimizer(train_key),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        key=train_key,
        sampling=ready.sampling,
        member_mask=mask,
        randomized=recipe.augments,
    )
    return training.released_params(trained.params, trained.opt_state), mask


def predict(
    options: Options, fitted: Task, params: PyTree, outside: Split, rerun: Rerun | None
) -> Published:
    """Predicts the attack on the published parameters, or says in one sentence why not."""
    try:
        found = gujax.assess(
            fitted.model.apply,
            params,
            _arrays(fitted.dataset.train),
            _arrays(outside),
            rerun=rerun,
            seed=options.seed,
        )
    except ValueError as error:
        return Published(None, (f"There is no prediction: {error}.",))
    left = len(fitted.dataset.test) - len(outside)
    if left:
        equal = f"{left} test examples equal a training example and were left out."
        found = replace(found, warnings=(equal, *found.warnings))
    return Published(found, found.unsafe)


def _arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.x, split.y
