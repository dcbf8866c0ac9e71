"""Train one model, watch what it discloses, and decide whether to release it."""

from experiments.framework.job import Job
from experiments.jobs.audit.analysis import analyze, exit_code, headline
from experiments.jobs.audit.measure import frames, measure, prepare
from experiments.jobs.audit.options import Options
from experiments.jobs.audit.report import report

run = Job(
    "audit", prepare, measure, frames, analyze, report, headline=headline, exit_code=exit_code
).run
