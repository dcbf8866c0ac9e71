"""PRECODE, PPP and CVB: accuracy, and attacks that know of them or not."""

from experiments.jobs.precode.job import Options, run

__all__ = ["Options", "run"]
