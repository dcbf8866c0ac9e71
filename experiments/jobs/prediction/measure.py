"""What the study does: trains the models of every setting, attacks them, predicts the attack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
        """One step for the models of a setting, one for its predictions."""
        return 2 * len(self.trainers)


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
    test_accuracy: Float[np.ndarray, "models"]
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
    """Runs all settings; those that an interrupted run has completed are read."""
    runs = {}
    # LAPACK's threads spin beside XLA's.
    with threadpool_limits(1, user_api="blas"):
        for trainer in plan.trainers:
            name = trainer.setting.name
            kept = directory.checkpoints / f"{name}.npz"
            if kept.exists():
                for what in ("models", "predictions"):
                    with steps.step(f"{name}: {what} of the run that was interrupted"):
                        pass
            else:
                _save(kept, _run(trainer, plan.options, steps))
            runs[name] = _load(kept)
    return runs


def _run(trainer: Trainer, options: Options, steps: Steps) -> Run:
    name = trainer.setting.name
    members, keys = halves(options.models, len(trainer.pool), 0)
    with steps.step(f"{name}: {options.models} models"):
        trained = trainer.train(members, keys)
    with steps.step(f"{name}: predictions for {options.targets} of them"):
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


def measured_shift(run: Run, index: int) -> Float[np.ndarray, "examples"]:
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
) -> Float[np.ndarray, "examples"]:
    """Mean φ of models with an example minus that of models without."""
    return phi.mean(0, where=members) - phi.mean(0, where=~members)


def _save(path: Path, run: Run) -> None:
    """Under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    arrays: dict[str, Any] = dict(_named(run))
    np.savez(partial, **arrays)
    partial.rename(path)


def _named(run: Run) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in run._asdict().items():
        if name in _PARTS:
            yield from ((f"{name}.{field}", part) for field, part in value._asdict().items())
        else:
            yield name, value


def _load(path: Path) -> Run:
    with np.load(path) as kept:
        parts = {
            name: part(**{field: kept[f"{name}.{field}"] for field in part._fields})
            for name, part in _PARTS.items()
        }
        return Run(**{name: kept[name] for name in Run._fields if name not in _PARTS}, **parts)


_PARTS: Mapping[str, Any] = {"predicted": Predicted, "gradients": Gradients, "tracked": Tracked}
