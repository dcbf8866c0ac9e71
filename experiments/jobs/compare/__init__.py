"""Defenses side by side on real data: accuracy, and privacy as attacks measure it."""

from dataclasses import replace
from functools import partial

from experiments.framework.job import Job
from experiments.framework.run_directory import default_path
from experiments.jobs.compare.analysis import analyze
from experiments.jobs.compare.claims import claims
from experiments.jobs.compare.measure import frames, measure, prepare
from experiments.jobs.compare.options import Options
from experiments.jobs.compare.report import report
from experiments.membership.analysis import headline

_JOB = Job(
    "compare",
    prepare,
    measure,
    frames,
    analyze,
    report,
    claims,
    headline=partial(headline, attack="lira", name="LiRA TPR at 1 % FPR"),
)


def run(options: Options) -> int:
    """Runs the job; of several data sets, each in a directory of its own within `out`.

    Raises:
        UserError: Something is wrong with the options for one of the data sets; none was run.
    """
    each = options.of_each_dataset
    if len(each) == 1:
        return _JOB.run(options)
    for one in each:
        prepare(one)
    folder = options.out or default_path("compare")
    return max(_JOB.run(replace(one, out=folder / one.dataset)) for one in each)
