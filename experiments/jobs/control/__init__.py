"""Gate, clip and budget against censoring, at equal accuracy."""

from experiments.framework.job import Job
from experiments.jobs.control.analysis import analyze
from experiments.jobs.control.claims import claims
from experiments.jobs.control.measure import frames, measure, prepare
from experiments.jobs.control.options import Options
from experiments.jobs.control.report import report
from experiments.membership.analysis import headline

run = Job("control", prepare, measure, frames, analyze, report, claims, headline).run
