"""What the latest runs say about every claim of the papers."""

from experiments.framework.job import Job
from experiments.jobs.claims.analysis import analyze
from experiments.jobs.claims.measure import frames, measure, prepare
from experiments.jobs.claims.options import Options
from experiments.jobs.claims.report import report

run = Job("claims", prepare, measure, frames, analyze, report).run
