"""Search the hyperparameters with which `compare` runs every defense."""

from experiments.jobs.tune.job import Options, run

__all__ = ["Options", "run"]
