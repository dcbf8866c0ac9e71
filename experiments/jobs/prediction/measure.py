"""What the study does: trains the models of every setting, attacks them, predicts the attack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from threadpoolctl import threadpool_limits

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.prediction.options import Options
from experiments.jobs.prediction.predicting import (
    Gradients,
    Predicted,
    Publisher,
    reruns,
    stacked,
)
from experiments.jobs.prediction.training import Tracked, Trainer, halves, load


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        options: of the job.
        trainers: the settings with their data.
    """

    options: Options
    trainers: Sequence[Trainer]

    @property
    def num_steps(self) -> int:
        """One step per setting."""
        return len(self.trainers)


class Run(NamedTuple):
    """One setting.

    Attributes:
        members: of K models, [K, N].
        phi: their signals, [K, N].
        population: the same on test examples, [K, Z].
        test_accuracy: [K].
        seconds: that training one model took, among many.
        targets: models whose attack is predicted, and the reruns of each, [T, 1 + R].
        predicted: by `gujax.assess`, arrays with a leading axis of targets.
        gradients: what gradients rank by, alike.
        tracked: what the runs of the targets show.
    """

    members: Bool[np.ndarray, "models examples"]
    phi: Float[np.ndarray, "models examples"]
    population: Float[np.ndarray, "models test"]
    test_accuracy: Float[np.ndarray, " models"]
    seconds: float
    targets: np.ndarray
    predicted: Predicted
    gradients: Gradients
    tracked: Tracked


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    return Plan(
        options,
        [load(setting, options.train_size, options.epochs) for setting in options.chosen],
    )


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> dict[str, Run]:
    """Runs all settings."""
    # LAPACK's threads spin beside XLA's.
    with threadpool_limits(1, user_api="blas"):
        return {
            one.setting.name: steps.result(
                one.setting.name, partial(_run, one, plan.options, steps)
            )
            for one in plan.trainers
        }


def _run(trainer: Trainer, options: Options, steps: Steps) -> Run:
    """All models of a setting, and the predictions for some of them."""
    members, keys = halves(options.models, len(trainer.pool), 0)
    trained = trainer.train(members, keys)
    steps.within(1, 2)
    targets = reruns(options.models, options.targets, options.reruns)
    publisher = Publisher(trainer)
    predicted = [
        publisher.predict(trained, target, others, options.resamples)
        for target, *others in targets.tolist()
    ]
    which = targets[:, 0]
    gradients = [publisher.gradients(trained, target) for target in which.tolist()]
    seconds = trained.seconds / options.models
    tracked = trainer.track(members[which], keys[which], seconds)
    return Run(
        members,
        trained.phi,
        trained.population,
        trained.test_accuracy,
        seconds,
        targets,
        stacked(Predicted, predicted),
        stacked(Gradients, gradients),
        tracked,
    )


def frames(plan: Plan, runs: Mapping[str, Run]) -> dict[str, pl.DataFrame]:
    """What was predicted for every target, and for each of its examples."""
    examples, targets = [], []
    for trainer in plan.trainers:
        name, run = trainer.setting.name, runs[trainer.setting.name]
        for index, (target, *others) in enumerate(run.targets.tolist()):
            place = {"setting": name, "target": target}
            predicted = {field: getattr(run.predicted, field)[index] for field in _OF_TARGET}
            targets.append({**place, "reruns": others, **predicted})
            columns = {
                "example": np.asarray(trainer.pool.ids),
                "member": run.members[target],
                "signal": run.phi[target],
                "measured_shift": measured_shift(run, index),
                "predicted_shift": run.predicted.shift[index],
                "gradient_norm": run.gradients.norm[index],
                "self_influence": run.gradients.self_influence[index],
                "last_layer_leverage": run.gradients.leverage[index],
                "nats": run.tracked.nats[index],
                "loss_spread": run.tracked.spread[index],
            }
            literals = [pl.lit(value).alias(key) for key, value in place.items()]
            examples.append(pl.DataFrame(columns).select(*literals, pl.all()))
    return {"targets": pl.DataFrame(targets), "examples": pl.concat(examples)}


_OF_TARGET = ("ridge", "deviation", "refusal", "warnings", "seconds")


def measured_shift(run: Run, index: int) -> Float[np.ndarray, " examples"]:
    """Mean φ of models with an example minus mean φ of those without, over all but a target's own.

    Args:
        run: the setting.
        index: of the target; it and its reruns, which the prediction knows, are left out.
    """
    others = np.ones(len(run.members), bool)
    others[run.targets[index]] = False
    return shifts(run.phi[others], run.members[others])


def shifts(
    phi: Float[np.ndarray, "models examples"], members: Bool[np.ndarray, "models examples"]
) -> Float[np.ndarray, " examples"]:
    """Mean φ of models with an example minus that of models without."""
    return phi.mean(0, where=members) - phi.mean(0, where=~members)
