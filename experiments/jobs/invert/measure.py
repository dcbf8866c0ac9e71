"""What the job does: it makes the defenses ready, shares updates under them and attacks these."""

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion.defenses import Setting, build_shared_updates, by_default
from experiments.inversion.runs import Attacked, Plan, run
from experiments.inversion.search import SearchBudget
from experiments.inversion.space import standardized
from experiments.jobs.invert.options import Options


def prepare(options: Options) -> Plan:
    """Loads the data and makes the defenses ready; wrong names, places and leaves are found."""
    task, space = standardized(options.load_task())
    setting = Setting(
        batch_size=options.batch_size,
        before=options.bottleneck_before,
        early_before=options.early_bottleneck_before,
        relative_ridge=options.relative_ridge,
    )
    names = options.defenses or by_default(options.model)
    budget = SearchBudget.suited(
        space,
        options.model,
        iterations=options.iterations,
        learning_rate=options.learning_rate,
        total_variation=options.total_variation,
        sharpness=options.sharpness,
        restarts=options.restarts,
        dlg_iterations=options.dlg_iterations,
        match=options.match,
    )
    return Plan(
        options,
        task,
        space,
        build_shared_updates(task, names, setting),
        options.attacks,
        budget,
        options.reference,
        options.epochs,
        options.relative_ridge,
    )


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Attacked:
    """Makes all attacks, and keeps the first seed's reconstructions."""
    attacked = run(plan, steps)
    attacked.save_pictures(directory)
    return attacked


def frames(plan: Plan, attacked: Attacked) -> dict[str, pl.DataFrame]:
    """Every example that was attacked."""
    return {"examples": attacked.frame}
