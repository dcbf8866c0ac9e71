"""Is an attack the more successful, the more unique a gradient is?"""

from experiments.framework.job import Job
from experiments.jobs.monotone.analysis import analyze
from experiments.jobs.monotone.claims import claims
from experiments.jobs.monotone.measure import frames, measure, prepare
from experiments.jobs.monotone.options import Options
from experiments.jobs.monotone.report import report

run = Job("monotone", prepare, measure, frames, analyze, report, claims).run
