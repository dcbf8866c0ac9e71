"""Accuracy and exposure by class or subgroup, where some are rare.

What is tested, and by which rule, is fixed in `experiments.jobs.who_pays.claims`.
"""

from experiments.framework.job import Job
from experiments.jobs.who_pays.analysis import analyze
from experiments.jobs.who_pays.claims import claims
from experiments.jobs.who_pays.measure import frames, measure, prepare
from experiments.jobs.who_pays.options import Options
from experiments.jobs.who_pays.report import report

run = Job("who_pays", prepare, measure, frames, analyze, report, claims).run
