"""Is an attack the more successful, the more unique a gradient is?"""

from experiments.jobs.monotone.job import Options, run

__all__ = ["Options", "run"]
