"""Gate, clip and budget against censoring, at equal accuracy."""

from experiments.jobs.control.job import Options, run

__all__ = ["Options", "run"]
