"""Remove the most disclosing examples, and look who is exposed then.

What is tested, and by which rule, is fixed in `experiments.jobs.onion.claims`.
"""

from experiments.framework.job import Job
from experiments.jobs.onion.analysis import analyze
from experiments.jobs.onion.claims import claims
from experiments.jobs.onion.measure import frames, measure, prepare
from experiments.jobs.onion.options import Options
from experiments.jobs.onion.report import report

run = Job("onion", prepare, measure, frames, analyze, report, claims).run
