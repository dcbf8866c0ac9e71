"""GNQ, one-run audit, LiRA and accountant on the same DP-SGD runs."""

from experiments.jobs.auditors.job import Options, run

__all__ = ["Options", "run"]
