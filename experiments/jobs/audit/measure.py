"""What the audit does: trains one model under a monitor, and times a step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib.image
import numpy as np
import optax
import polars as pl
from jax.typing import ArrayLike

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.audit.monitor import monitor
from experiments.jobs.audit.options import Options
from experiments.jobs.audit.published import Published, held_out, predict, train_again
from experiments.membership.cost import StepCost, measure_steps
from experiments.membership.defenses import Privacy, Training, aggregation, parse_defense
from experiments.membership.defenses import prepare as prepare_training
from experiments.membership.frames import subgroups
from experiments.membership.history import History
from experiments.membership.release import ledger_of, ledger_totals, nats_spread
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import Recipe, load_recipes
from experiments.tasks.task import Task
from gujax import training
from gujax.uniqueness import Ledger

_PICTURES = 8


class Plan(NamedTuple):
    """What is audited: the task, the same as the recipe trains it (`fitted`), and the recipe."""

    options: Options
    task: Task
    fitted: Task
    recipe: Recipe

    @property
    def num_steps(self) -> int:
        """Training, perhaps once more, the predicted attack, and the cost of a step."""
        return 3 + self.options.rerun


class Audited(NamedTuple):
    """What was seen of the run.

    Attributes:
        totals: One row per training example, see `totals`, with the predicted attack.
        epochs: One row per epoch: loss, accuracies, spread of nats.
        cost: Of a step that is audited, and of a plain one.
        extremes: Pictures of the most and the least unique examples with captions, where examples
            are pictures.
        published: The predicted attack on the published model.
    """

    totals: pl.DataFrame
    epochs: pl.DataFrame
    privacy: Privacy | None
    cost: Mapping[str, StepCost]
    extremes: Mapping[str, Sequence[tuple[Path, str]]]
    published: Published


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    defense = options.trained_under
    recipe = defense.recipe_in(load_recipes(options.dataset, options.recipes))
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    recipe = options.trained_under.fitted(recipe)
    check_option(
        len(task.dataset.train) >= recipe.batch_size,
        f"--train-size {options.train_size}: the recipe's batches have {recipe.batch_size} "
        "examples; keep as many at least, or give other --recipes",
    )
    return Plan(options, task, adapted(task, recipe), recipe)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Audited:
    """Trains, and looks at who disclosed how much."""
    options, task = plan.options, plan.task
    everyone = np.ones(len(task.dataset.train), bool)
    ready = prepare_training(
        options.trained_under, plan.recipe, everyone, options.relative_ridge, options.audit_every
    )
    history = History(directory.checkpoints / "history.jsonl")
    with steps.step("training"):
        trained = _train(plan, ready, history, steps)
    published = _published(plan, trained, steps)
    with steps.step("cost of a step"):
        cost = _cost(plan)
    examples = totals(task, ledger_of(trained), options.audit_every)
    pictures = extremes(directory, task, examples)
    examples = examples.with_columns(
        pl.Series(name, values) for name, values in published.of_members(len(examples)).items()
    )
    return Audited(examples, history.table(), ready.privacy, cost, pictures, published)


def _published(plan: Plan, trained: training.TrainResult, steps: Steps) -> Published:
    """Predicts the attack on the trained model, from a second one if there shall be one."""
    options, outside, rerun = plan.options, held_out(plan.task), None
    if options.rerun:
        with steps.step("training once more"):
            rerun = train_again(options, plan.fitted, plan.recipe, outside)
    with steps.step("predicted attack"):
        params = training.released_params(trained.params, trained.opt_state)
        return predict(options, plan.fitted, params, outside, rerun)


def frames(plan: Plan, audited: Audited) -> dict[str, pl.DataFrame]:
    """Totals of every example, and what was seen after every epoch."""
    return {"per_example": audited.totals, "epochs": audited.epochs}


def _train(plan: Plan, ready: Training, history: History, steps: Steps) -> training.TrainResult:
    """Trains under the monitor, and writes down what it shows."""
    options, task, recipe = plan.options, plan.fitted, plan.recipe
    train = task.dataset.train
    init_key, train_key = jax.random.split(jax.random.key(options.seed))
    with steps.set_aside() as console, monitor(console, recipe.epochs, train.ids) as view:

        def watch(epoch: int, result: training.TrainResult) -> None:
            nats = options.audit_every * np.asarray(ledger_of(result).nats)
            shown = {
                "loss": float(np.mean(result.steps.loss)),
                "train_accuracy": _last(result.epochs.train_accuracy),
                "test_accuracy": _last(result.epochs.test_accuracy),
            }
            view.show(epoch, **shown, nats=nats)
            history.add(epoch, {**shown, **nats_spread(nats)})

        return training.train(
            task.loss_fn,
            task.model.init(init_key),
            train,
            ready.make_optimizer(train_key),
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            key=train_key,
            sampling=ready.sampling,
            randomized=recipe.augments,
            apply=task.model.apply,
            test=task.dataset.test,
            callback=watch,
        )


def _last(per_epoch: ArrayLike | None) -> float:
    assert per_epoch is not None
    return float(np.ravel(per_epoch)[-1])


def _cost(plan: Plan) -> dict[str, StepCost]:
    """A plain step beside one that also measures the uniqueness of its batch."""
    task, train = plan.task, plan.task.dataset.train
    size = min(plan.recipe.batch_size, len(train))
    audited = aggregation(parse_defense("sgd"), plan.options.relative_ridge, size, len(train))
    follow = optax.sgd(0.1, momentum=0.9)
    params = task.model.init(jax.random.key(0))
    batch = train.x[:size], train.y[:size]
    chains = {"audited": optax.chain(audited, follow)}
    return measure_steps(task.loss_fn, params, batch, chains, follow)


def totals(task: Task, ledger: Ledger, every: int) -> pl.DataFrame:
    """One row per training example: its position in the split, nats and μ over the run.

    Every `every`-th step was audited: totals are scaled up by it.
    """
    train = task.dataset.train
    return pl.DataFrame(
        {
            "id": train.ids,
            "position": np.arange(len(train)),
            "label": train.y,
            "subgroup": subgroups(train),
            **ledger_totals(ledger, every),
            "audited_steps": np.asarray(ledger.steps),
        }
    )


def extremes(
    directory: RunDirectory, task: Task, totals: pl.DataFrame
) -> dict[str, list[tuple[Path, str]]]:
    """Writes pictures of the most and the least unique examples, where examples are pictures."""
    shape = task.dataset.feature_shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        return {}
    ranked = totals.sort("nats", "mu", descending=True)  # nats have a ceiling at every step
    groups = {"Most": ranked.head(_PICTURES), "Least": ranked.tail(_PICTURES).reverse()}
    return {
        which: [_picture(directory, task, row) for row in chosen.to_dicts()]
        for which, chosen in groups.items()
    }


def _picture(directory: RunDirectory, task: Task, row: Mapping) -> tuple[Path, str]:
    pixels = task.dataset.train.x[row["position"]]
    enlarge = max(1, 112 // len(pixels))
    large = np.kron(pixels, np.ones((enlarge, enlarge, 1), np.float32)).clip(0, 1)
    path = directory.file(f"pictures/{row['id']}.png")
    matplotlib.image.imsave(path, np.broadcast_to(large, (*large.shape[:2], 3)))
    return path, f"{task.class_names[row['label']]} · id {row['id']} · {row['nats']:.3g} nats"
