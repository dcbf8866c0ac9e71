"""Run a job over a grid, a list or random draws of its options."""

from experiments.jobs.sweep.measure import run
from experiments.jobs.sweep.options import Options
