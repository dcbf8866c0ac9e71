"""Defenses side by side on real data: accuracy, and privacy as attacks measure it."""

from functools import partial

from experiments.framework.job import Job
from experiments.jobs.compare.analysis import analyze
from experiments.jobs.compare.measure import frames, measure, prepare
from experiments.jobs.compare.options import Options
from experiments.jobs.compare.report import report
from experiments.membership.analysis import headline

run = Job(
    "compare",
    prepare,
    measure,
    frames,
    analyze,
    report,
    headline=partial(headline, attack="lira", name="LiRA TPR at 1 % FPR"),
).run
