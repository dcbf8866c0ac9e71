"""PRECODE, PPP and CVB: accuracy, and attacks that know of them or not."""

from experiments.framework.job import Job
from experiments.jobs.precode.analysis import analyze
from experiments.jobs.precode.claims import claims
from experiments.jobs.precode.measure import frames, measure, prepare
from experiments.jobs.precode.options import Options
from experiments.jobs.precode.report import report

run = Job("precode", prepare, measure, frames, analyze, report, claims).run
