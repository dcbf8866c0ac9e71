"""Does the attack predicted from one model and its reruns agree with the attack that is achieved?

Which settings may have been used to choose anything in the method, and which judge it, is fixed in
`experiments.jobs.prediction.settings`; by which rule, in `experiments.jobs.prediction.claims`.
"""

from experiments.framework.job import Job
from experiments.jobs.prediction.analysis import analyze
from experiments.jobs.prediction.claims import claims
from experiments.jobs.prediction.measure import frames, measure, prepare
from experiments.jobs.prediction.options import Options
from experiments.jobs.prediction.report import report

run = Job("prediction", prepare, measure, frames, analyze, report, claims).run
