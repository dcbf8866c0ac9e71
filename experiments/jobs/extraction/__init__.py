"""Which texts can be extracted from a fine-tuned language model, and what tells beforehand?"""

from experiments.framework.job import Job
from experiments.jobs.extraction.analysis import analyze
from experiments.jobs.extraction.claims import claims
from experiments.jobs.extraction.measure import frames, measure, prepare
from experiments.jobs.extraction.options import Options
from experiments.jobs.extraction.report import report

run = Job("extraction", prepare, measure, frames, analyze, report, claims).run
