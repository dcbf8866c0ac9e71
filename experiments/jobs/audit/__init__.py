"""Train one model, watch what it discloses, and decide whether to release it."""

from experiments.jobs.audit.job import Options, run

__all__ = ["Options", "run"]
