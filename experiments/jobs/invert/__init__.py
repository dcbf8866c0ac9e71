"""What inversion attacks reconstruct from shared updates, defense by defense."""

from experiments.framework.job import Job
from experiments.inversion.analysis import attack_entries
from experiments.jobs.invert.claims import claims
from experiments.jobs.invert.measure import frames, measure, prepare
from experiments.jobs.invert.options import Options
from experiments.jobs.invert.report import report

run = Job("invert", prepare, measure, frames, attack_entries, report, claims).run
