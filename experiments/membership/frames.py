"""The tables of a run, as Parquet: every number of the report follows from them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Int

from experiments.framework.results import Key
from experiments.membership.analysis import pooled_auc
from experiments.membership.attacks import ATTACKS
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.task import Task
from gujax.data import Split


def tables(task: Task, results: Sequence[DefenseRun]) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and step metrics of all defenses, by file name."""
    made = {
        "scores": _scores,
        "per_example": _per_example,
        "test_accuracy": _test_accuracy,
        "steps": _steps,
    }
    return {
        name: stacked(
            ("defense", "seed"),
            (
                ((result.defense.label, seed), table(task, run))
                for result in results
                for seed, run in enumerate(result.seeds)
            ),
        )
        for name, table in made.items()
    }


def stacked(
    names: Sequence[str], parts: Iterable[tuple[Sequence[Key], pl.DataFrame]]
) -> pl.DataFrame:
    """Tables one below the other, each with its values in the columns `names`, put first."""
    tables = []
    for values, table in parts:
        about = [pl.lit(value).alias(name) for name, value in zip(names, values)]
        tables.append(table.select(*about, pl.all()))
    return pl.concat(tables, how="diagonal")


def by_model(ids: Int[np.ndarray, " examples"], **columns: np.ndarray) -> pl.DataFrame:
    """One row per model and training example, from values [M, N] by heading."""
    num_models = len(next(iter(columns.values())))
    place = {
        "model": np.repeat(np.arange(num_models, dtype=np.int32), len(ids)),
        "id": np.tile(ids, num_models),
    }
    return pl.DataFrame({**place, **{name: values.ravel() for name, values in columns.items()}})


def of_ridges(task: Task, ridges: Mapping[float, SeedRun]) -> pl.DataFrame:
    """What plain SGD disclosed under several ridges, per model and training example."""
    columns = ("model", "id", "member", "nats", "mu")
    parts = (((ridge,), _scores(task, run).select(columns)) for ridge, run in ridges.items())
    return stacked(("relative_ridge",), parts)


def subgroups(split: Split) -> pl.Series:
    """The second label of each example; null where there is none."""
    unknown = [None] * len(split)
    return pl.Series(unknown if split.subgroups is None else split.subgroups, dtype=pl.Int32)


def _scores(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per model and training example."""
    return by_model(
        task.dataset.train.ids,
        member=run.members,
        removed=run.removed,
        nats=run.nats,
        mu=run.mu,
        margin=run.outputs.margin,
        **{attack: run.outputs.scores[attack] for attack in ATTACKS},
    )


def _per_example(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per training example: totals are means over the models that were given it."""
    train, given = task.dataset.train, run.members
    lira = run.outputs.scores["lira"]
    return pl.DataFrame(
        {
            "id": train.ids,
            "label": train.y,
            "subgroup": subgroups(train),
            # mu² accumulates GNQ/(p(1-p)) with the ledger's p = 1/2.
            "accumulated_gnq": (run.mu**2).mean(axis=0, where=given) / 4,
            "nats": run.nats.mean(axis=0, where=given),
            "mu": np.sqrt((run.mu**2).mean(axis=0, where=given)),
            "canary": np.isin(train.ids, () if task.canaries is None else task.canaries.ids),
            "attack_score": lira.mean(axis=0, where=given),
            "attack_auc": pooled_auc([run]),
            "removed_share": run.removed.mean(axis=0, where=given),
        }
    )


def _test_accuracy(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per model and class."""
    y, correct = task.dataset.test.y, run.outputs.test_correct
    num_models, num_classes = len(correct), task.dataset.num_classes
    in_class = y[None, :] == np.arange(num_classes)[:, None]
    return pl.DataFrame(
        {
            "model": np.repeat(np.arange(num_models, dtype=np.int32), num_classes),
            "class": np.tile(np.arange(num_classes, dtype=np.int32), num_models),
            "examples": np.tile(in_class.sum(axis=1).astype(np.int32), num_models),
            "correct": (correct.astype(np.int32) @ in_class.T.astype(np.int32)).ravel(),
        }
    )


def _steps(task: Task, run: SeedRun) -> pl.DataFrame:
    """One row per step: means over the models."""
    _, epochs, steps = run.steps.loss.shape
    columns = {
        "epoch": np.repeat(np.arange(epochs, dtype=np.int32), steps),
        "step": np.arange(epochs * steps, dtype=np.int32),
    }
    for name, values in run.steps._asdict().items():
        if values is not None:
            columns[name] = np.asarray(values, float).mean(axis=0).ravel()
    return pl.DataFrame(columns)
