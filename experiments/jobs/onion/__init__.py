"""Remove the most disclosing examples, and look who is exposed then."""

from experiments.jobs.onion.job import Options, run

__all__ = ["Options", "run"]
