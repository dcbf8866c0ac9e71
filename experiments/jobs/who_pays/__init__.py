"""Accuracy and exposure by class or subgroup, where some are rare."""

from experiments.jobs.who_pays.job import Options, run

__all__ = ["Options", "run"]
