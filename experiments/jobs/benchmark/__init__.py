"""Time and memory of a step, beside plain steps and other libraries."""

from experiments.jobs.benchmark.job import Options, run

__all__ = ["Options", "run"]
