"""The tables of a run, as Parquet: every number of the report follows from them."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from experiments.framework.run_directory import RunDirectory
from experiments.jobs.calibration.analysis import Runs
from experiments.jobs.calibration.final import FinalRun
from experiments.jobs.calibration.release import Release, View


def write(directory: RunDirectory, view: View, runs: Mapping[str, Runs]) -> None:
    """Writes `updates.parquet` and `final.parquet`."""
    for file, attribute, table in (
        ("updates", "releases", _release),
        ("final", "finals", _final),
    ):
        parts = [
            table(view, run)
            .insert_column(0, pl.lit(seed).alias("seed"))
            .insert_column(0, pl.lit(name).alias("dataset"))
            for name, of_dataset in runs.items()
            for seed, run in enumerate(getattr(of_dataset, attribute))
        ]
        pl.concat(parts).write_parquet(directory.file(f"{file}.parquet"))


def _release(view: View, run: Release) -> pl.DataFrame:
    """One row per ridge, k and member."""
    ridge, every, member = np.meshgrid(
        view.ridges, view.every, np.arange(run.auc.shape[-1]), indexing="ij"
    )
    return pl.DataFrame(
        {
            "ridge": ridge.ravel(),
            "every": every.ravel(),
            "member": member.ravel(),
            "mu": np.sqrt(run.mu_squared).ravel(),
            "achieved_auc": run.auc.ravel(),
        }
    )


def _final(view: View, run: FinalRun) -> pl.DataFrame:
    """One row per model and example."""
    num_models, num_examples = run.members.shape
    columns = {
        "model": np.repeat(np.arange(num_models), num_examples),
        "id": np.tile(np.arange(num_examples), num_models),
        "member": run.members.ravel(),
        "lira": run.outputs.scores["lira"].ravel(),
        "loss": run.outputs.scores["loss"].ravel(),
    }
    columns |= {
        f"mu, ridge {ridge:g}": np.sqrt(of_ridge).ravel()
        for ridge, of_ridge in zip(view.grid, run.mu_squared)
    }
    return pl.DataFrame(columns)
