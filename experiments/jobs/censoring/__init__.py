"""Remove and retrain against DP-SGD, on several data sets."""

from experiments.framework.job import Job
from experiments.jobs.censoring.analysis import analyze, headline
from experiments.jobs.censoring.claims import claims
from experiments.jobs.censoring.measure import frames, measure, prepare
from experiments.jobs.censoring.options import Options
from experiments.jobs.censoring.report import report

run = Job("censoring", prepare, measure, frames, analyze, report, claims, headline).run
