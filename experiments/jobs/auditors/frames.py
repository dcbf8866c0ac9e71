"""The tables of a run, as Parquet: every number of the report follows from them."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from experiments.framework.run_directory import RunDirectory
from experiments.jobs.auditors.runs import AuditedRun


def write(directory: RunDirectory, runs: Mapping[float, Sequence[AuditedRun]]) -> None:
    """Writes `canaries.parquet` and `uniqueness.parquet`."""
    for file, table in (("canaries", _canaries), ("uniqueness", _uniqueness)):
        parts = [
            table(run)
            .insert_column(0, pl.lit(seed).alias("seed"))
            .insert_column(0, pl.lit(target).alias("epsilon"))
            for target, of_target in runs.items()
            for seed, run in enumerate(of_target)
        ]
        pl.concat(parts).write_parquet(directory.file(f"{file}.parquet"))


def _canaries(run: AuditedRun) -> pl.DataFrame:
    """One row per model and canary."""
    num_models, num_canaries = run.included.shape
    return pl.DataFrame(
        {
            "model": np.repeat(np.arange(num_models), num_canaries),
            "position": np.tile(run.canaries, num_models),
            "included": run.included.ravel(),
            "lira": run.lira.ravel(),
            "learned": run.learned.ravel(),
        }
    )


def _uniqueness(run: AuditedRun) -> pl.DataFrame:
    """One row per audited model and example."""
    num_audited, num_examples = run.mu.shape
    return pl.DataFrame(
        {
            "audited": np.repeat(["first", "all canaries"], num_examples),
            "position": np.tile(np.arange(num_examples), num_audited),
            "canary": np.tile(np.isin(np.arange(num_examples), run.canaries), num_audited),
            "mu": run.mu.ravel(),
            "excess": run.excess.ravel(),
        }
    )
