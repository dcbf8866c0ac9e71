"""Run a job over a grid, a list or random draws of its options."""

from experiments.jobs.sweep.job import Options, run

__all__ = ["Options", "run"]
