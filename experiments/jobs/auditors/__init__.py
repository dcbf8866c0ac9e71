"""GNQ, one-run audit, LiRA and accountant on the same DP-SGD runs."""

from experiments.framework.job import Job
from experiments.jobs.auditors.analysis import analyze
from experiments.jobs.auditors.claims import claims
from experiments.jobs.auditors.measure import frames, measure, prepare
from experiments.jobs.auditors.options import Options
from experiments.jobs.auditors.report import report

run = Job("auditors", prepare, measure, frames, analyze, report, claims).run
