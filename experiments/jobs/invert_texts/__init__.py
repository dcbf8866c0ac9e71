"""What DAGER reads of the texts behind shared updates of a language model, defense by defense."""

from experiments.framework.job import Job
from experiments.jobs.invert_texts.analysis import analyze
from experiments.jobs.invert_texts.claims import claims
from experiments.jobs.invert_texts.measure import frames, measure
from experiments.jobs.invert_texts.options import Options
from experiments.jobs.invert_texts.plan import prepare
from experiments.jobs.invert_texts.report import report

run = Job("invert_texts", prepare, measure, frames, analyze, report, claims).run
