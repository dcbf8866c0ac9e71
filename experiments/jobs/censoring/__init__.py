"""Remove and retrain against DP-SGD, on several data sets."""

from experiments.jobs.censoring.job import Options, run

__all__ = ["Options", "run"]
