"""Fine-tune a language model on texts, and decide whether to release it."""

from experiments.framework.job import Job
from experiments.jobs.finetune.analysis import analyze, exit_code, headline
from experiments.jobs.finetune.measure import frames, measure, prepare
from experiments.jobs.finetune.options import Options
from experiments.jobs.finetune.report import report

run = Job(
    "finetune", prepare, measure, frames, analyze, report, headline=headline, exit_code=exit_code
).run
