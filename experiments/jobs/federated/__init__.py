"""What a server reads off updates that clients send from processes of their own."""

from experiments.framework.job import Job
from experiments.jobs.federated.analysis import analyze
from experiments.jobs.federated.claims import claims
from experiments.jobs.federated.measure import frames, measure
from experiments.jobs.federated.options import Options
from experiments.jobs.federated.plan import prepare
from experiments.jobs.federated.report import report

run = Job("federated", prepare, measure, frames, analyze, report, claims).run
