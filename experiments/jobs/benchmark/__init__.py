"""Time and memory of a step, beside plain steps and other libraries."""

from experiments.framework.job import Job
from experiments.jobs.benchmark import (
    assessment,
    assessment_report,
    inversion,
    inversion_report,
    scale,
    scale_report,
)
from experiments.jobs.benchmark.analysis import analyze, exit_code
from experiments.jobs.benchmark.measure import measure, prepare
from experiments.jobs.benchmark.options import Options
from experiments.jobs.benchmark.report import report

_STEPS = Job("benchmark", prepare, measure, None, analyze, report, exit_code=exit_code)
_INVERSION = Job(
    "benchmark",
    inversion.prepare,
    inversion.measure,
    None,
    inversion.analyze,
    inversion_report.report,
    exit_code=inversion.exit_code,
)
_ASSESSMENT = Job(
    "benchmark",
    assessment.prepare,
    assessment.measure,
    None,
    assessment.analyze,
    assessment_report.report,
)
_SCALE = Job("benchmark", scale.prepare, scale.measure, None, scale.analyze, scale_report.report)


def run(options: Options) -> int:
    """Runs the benchmark; returns 0, or 3 if the methods disagree."""
    if options.inversion:
        return _INVERSION.run(options)
    if options.assessment:
        return _ASSESSMENT.run(options)
    return _SCALE.run(options) if options.scale else _STEPS.run(options)
