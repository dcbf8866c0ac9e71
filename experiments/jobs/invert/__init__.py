"""What inversion attacks reconstruct from shared updates, defense by defense."""

from experiments.jobs.invert.job import Options, run

__all__ = ["Options", "run"]
