"""What the study does: trains, measures and attacks the models of every seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.monotone.estimators import Estimator, Kind, chosen
from experiments.jobs.monotone.examples import Examples, per_example
from experiments.jobs.monotone.options import Options
from experiments.jobs.monotone.runs import SeedRun, measured_sgd, run_seed
from experiments.membership.frames import by_model, stacked
from experiments.tasks.recipe import Recipe, fit, load_recipes
from experiments.tasks.task import Task, load_task

MIN_EXAMPLES = 60  # two per decile and stratum


@dataclass(frozen=True)
class Plan:
    """What is trained and measured.

    Attributes:
        options: Of the job.
        task: Data and model.
        recipe: How all models are trained.
        estimators: The measures of uniqueness.
    """

    options: Options
    task: Task
    recipe: Recipe
    estimators: Sequence[Estimator]

    @property
    def num_steps(self) -> int:
        """One step per seed."""
        return self.options.seeds

    def first(self, kind: Kind) -> str:
        """The label of the first estimator of a kind."""
        return next(e.label for e in self.estimators if e.kind == kind)


@dataclass(frozen=True)
class Study:
    """Every seed's models, and what they say about every example."""

    runs: Sequence[SeedRun]
    examples: Sequence[Examples]


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    count = len(task.dataset.train)
    check_option(
        count >= MIN_EXAMPLES,
        f"{count} training examples are too few for deciles; give at least {MIN_EXAMPLES}",
    )
    found = load_recipes(options.dataset, options.recipes).find("sgd")
    ridges = options.relative_ridge, options.other_ridges, options.diagonal_ridges
    return Plan(options, task, fit(found, count // 2, options.epochs), chosen(*ridges))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Study:
    """Trains, measures and attacks the models of every seed."""
    del directory
    options, task, recipe = plan.options, plan.task, plan.recipe
    make_optimizer = measured_sgd(task, recipe, plan.estimators)
    runs = []
    for seed in range(options.seeds):
        with steps.step(f"training, measuring, attacking: seed {seed}"):
            size = options.shadow_models, options.checkpoints
            runs.append(run_seed(task, recipe, plan.estimators, make_optimizer, *size, seed))
    return Study(runs, [per_example(run) for run in runs])


def frames(plan: Plan, study: Study) -> dict[str, pl.DataFrame]:
    """Scores and measures of every model and example, and the means of every example."""
    ids, labels = plan.task.dataset.train.ids, plan.task.dataset.train.y
    scores = [_scores(ids, run) for run in study.runs]
    rows = [
        pl.DataFrame({"id": ids, "label": labels, **examples.columns()})
        for examples in study.examples
    ]
    return {
        name: stacked(("seed",), (((seed,), table) for seed, table in enumerate(tables)))
        for name, tables in (("scores", scores), ("per_example", rows))
    }


def _scores(ids, run: SeedRun) -> pl.DataFrame:
    measured = {e.label: total.astype("float32") for e, total in run.measured.items()}
    attacks = {name: run.outputs.scores[name] for name in ("lira", "loss")}
    return by_model(ids, member=run.members, **attacks, appearances=run.appearances, **measured)
