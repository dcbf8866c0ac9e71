"""Is the predicted attack the achieved one, and under which ridge?"""

from experiments.jobs.calibration.job import Options, run

__all__ = ["Options", "run"]
