"""What the gradient of each layer gives away, about an attribute and the input."""

from experiments.framework.job import Job
from experiments.jobs.leakage.analysis import analyze
from experiments.jobs.leakage.claims import claims
from experiments.jobs.leakage.measure import measure
from experiments.jobs.leakage.options import Options
from experiments.jobs.leakage.plan import prepare
from experiments.jobs.leakage.report import report

run = Job(
    "leakage", prepare, measure, lambda plan, leakage: leakage.tables, analyze, report, claims
).run
