"""What the latest runs say about every claim of the papers."""

from experiments.jobs.claims.job import Options, run

__all__ = ["Options", "run"]
