"""What the gradient of each layer gives away, about an attribute and the input."""

from experiments.jobs.leakage.job import Options, run

__all__ = ["Options", "run"]
