"""Are made-up statements more unique than true ones to a language model?"""

from experiments.framework.job import Job
from experiments.jobs.facts.analysis import analyze
from experiments.jobs.facts.claims import claims
from experiments.jobs.facts.measure import frames, measure, prepare
from experiments.jobs.facts.options import Options
from experiments.jobs.facts.report import report

run = Job("facts", prepare, measure, frames, analyze, report, claims).run
