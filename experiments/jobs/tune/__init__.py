"""Search the hyperparameters with which `compare` runs every defense."""

from experiments.framework.job import Job
from experiments.jobs.tune.measure import analyze, measure, prepare
from experiments.jobs.tune.options import Options
from experiments.jobs.tune.report import report

run = Job("tune", prepare, measure, None, analyze, report).run
