"""Is the predicted attack the one that is achieved, and under which ridge?"""

from experiments.framework.job import Job
from experiments.jobs.calibration.analysis import analyze
from experiments.jobs.calibration.claims import claims
from experiments.jobs.calibration.measure import frames, measure, prepare
from experiments.jobs.calibration.options import Options
from experiments.jobs.calibration.report import report

run = Job("calibration", prepare, measure, frames, analyze, report, claims).run
