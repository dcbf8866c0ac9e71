"""The tables of a run, as Parquet: every number of the report follows from them."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from experiments.framework.run_directory import RunDirectory
from experiments.membership.attacks import ATTACKS, auc_per_example
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.task import Task


def tables(task: Task, results: Sequence[DefenseRun]) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and step metrics of all defenses, by file name.

    Args:
        task: Data and model.
        results: All defenses.
    """
    made = {
        "scores": _scores,
        "per_example": _per_example,
        "test_accuracy": _test_accuracy,
        "steps": _steps,
    }
    return {
        name: pl.concat(
            [
                table(task, run)
                .insert_column(0, pl.lit(seed).alias("seed"))
                .insert_column(0, pl.lit(result.defense.label).alias("defense"))
                for result in results
                for seed, run in enumerate(result.seeds)
            ],
            how="diagonal",
        )
        for name, table in made.items()
    }


def write(
    directory: RunDirectory, task: Task, results: Sequence[DefenseRun], folder: str = "."
) -> None:
    """Writes `tables` into a folder of the run directory."""
    for name, table in tables(task, results).items():
        table.write_parquet(directory.file(f"{folder}/{name}.parquet"))


def of_ridges(task: Task, ridges: Mapping[float, SeedRun]) -> pl.DataFrame:
    """What plain SGD disclosed under several ridges, per model and training example."""
    tables = [
        _scores(task, run)
        .select("model", "id", "member", "nats", "mu")
        .insert_column(0, pl.lit(ridge).alias("relative_ridge"))
        for ridge, run in ridges.items()
    ]
    return pl.concat(tables)


def _scores(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per model and training example."""
    num_models, num_examples = run.members.shape
    columns = {
        "model": np.repeat(np.arange(num_models, dtype=np.int32), num_examples),
        "id": np.tile(task.dataset.train.ids, num_models),
        "member": run.members.ravel(),
        "removed": run.removed.ravel(),
        "nats": run.nats.ravel(),
        "mu": run.mu.ravel(),
    }
    columns |= {attack: run.outputs.scores[attack].ravel() for attack in ATTACKS}
    return pl.DataFrame(columns)


def _per_example(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per training example: totals are means over the models that were given it."""
    train = task.dataset.train
    given = run.members

    def over_members(values: np.ndarray) -> np.ndarray:
        return np.sum(np.where(given, values, 0), axis=0) / given.sum(axis=0)

    lira = run.outputs.scores["lira"]
    return pl.DataFrame(
        {
            "id": train.ids,
            "label": train.y,
            "subgroup": pl.Series(train.subgroups, dtype=pl.Int32)
            if train.subgroups is not None
            else pl.Series([None] * len(train), dtype=pl.Int32),
            # mu² accumulates GNQ/(p(1-p)) with the ledger's p = 1/2.
            "accumulated_gnq": over_members(run.mu**2) / 4,
            "nats": over_members(run.nats),
            "mu": np.sqrt(over_members(run.mu**2)),
            "attack_score": over_members(lira),
            "attack_auc": auc_per_example(lira, given),
            "removed_share": over_members(run.removed),
        }
    )


def _test_accuracy(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per model and class."""
    y, correct = task.dataset.test.y, run.outputs.test_correct
    num_models, num_classes = len(correct), task.dataset.num_classes
    in_class = y[None, :] == np.arange(num_classes)[:, None]
    return pl.DataFrame(
        {
            "model": np.repeat(np.arange(num_models, dtype=np.int32), num_classes),
            "class": np.tile(np.arange(num_classes, dtype=np.int32), num_models),
            "examples": np.tile(in_class.sum(axis=1).astype(np.int32), num_models),
            "correct": (correct.astype(np.int32) @ in_class.T.astype(np.int32)).ravel(),
        }
    )


def _steps(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per step: means over the models."""
    del task
    _, epochs, steps = run.steps.loss.shape
    columns = {
        "epoch": np.repeat(np.arange(epochs, dtype=np.int32), steps),
        "step": np.arange(epochs * steps, dtype=np.int32),
    }
    for name, values in run.steps._asdict().items():
        if values is not None:
            columns[name] = np.asarray(values, float).mean(axis=0).ravel()
    return pl.DataFrame(columns)
