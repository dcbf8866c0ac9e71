"""The tables of a run, as Parquet: every number of the report follows from them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from experiments.framework.run_directory import RunDirectory
from experiments.jobs.monotone.analysis import Examples
from experiments.jobs.monotone.runs import SeedRun
from experiments.tasks.task import Task


def write(
    directory: RunDirectory, task: Task, runs: Sequence[SeedRun], seeds: Sequence[Examples]
) -> None:
    """Writes `scores.parquet` and `per_example.parquet`.

    Args:
        directory: The run directory.
        task: Data and model.
        runs: What was trained and measured.
        seeds: What it says about every example.
    """
    scores = [_with_seed(_scores(task, run), seed) for seed, run in enumerate(runs)]
    pl.concat(scores).write_parquet(directory.file("scores.parquet"))
    rows = [_with_seed(_per_example(task, of_seed), seed) for seed, of_seed in enumerate(seeds)]
    pl.concat(rows).write_parquet(directory.file("per_example.parquet"))


def _with_seed(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame.insert_column(0, pl.lit(seed).alias("seed"))


def _scores(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per model and training example."""
    num_models, num_examples = run.members.shape
    columns = {
        "model": np.repeat(np.arange(num_models, dtype=np.int32), num_examples),
        "id": np.tile(task.dataset.train.ids, num_models),
        "member": run.members.ravel(),
        "lira": run.outputs.scores["lira"].ravel(),
        "loss": run.outputs.scores["loss"].ravel(),
        "appearances": run.appearances.ravel(),
    }
    columns |= {e.label: total.astype(np.float32).ravel() for e, total in run.measured.items()}
    return pl.DataFrame(columns)


def _per_example(task: Task, examples: Examples) -> pl.DataFrame:
    """One row per training example."""
    train = task.dataset.train
    columns = {"id": train.ids, "label": train.y, **examples.success, **examples.variables}
    columns |= {"doubted": examples.doubted, "appearances": examples.appearances}
    columns |= {estimator.label: values for estimator, values in examples.uniqueness.items()}
    return pl.DataFrame(columns)
