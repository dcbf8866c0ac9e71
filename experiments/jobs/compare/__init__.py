"""Defenses side by side on real data: accuracy, and privacy as attacks measure it."""

from experiments.jobs.compare.job import Options, run

__all__ = ["Options", "run"]
