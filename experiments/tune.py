"""Job `tune`: the hyperparameters with which `compare` runs every defense."""

import dataclasses
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from rich.console import Console

from experiments.defenses import Defense, account, aggregation
from experiments.errors import as_user_error, check_option
from experiments.recipe import OptimizerName, Recipe, descent, recipe_key
from experiments.task import ModelName, Task, initial_params, load_task, logits_of_many
from gujax import training, transforms
from gujax.reporting import RunDirectory, Table, default_path, progress, to_terminal

# Differences in accuracy below this are noise of the few halves; a smaller batch is cheaper to
# audit, because the solve grows with the cube of the batch size.
_TOLERANCE = 0.005


@dataclass(frozen=True)
class Options:
    """Search hyperparameters for every defense on one data set.

    Models are trained on random halves of the training split and judged on the other half; the
    test split is not touched. DP-SGD is given by far the largest search: a baseline must not lose
    for want of tuning.

    Attributes:
        dataset: Data set to search on.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        train_size: Keep only so many training examples; default: all.
        repeats: Random halves per configuration; their mean accuracy decides.
        learning_rates: Learning rates of SGD with momentum, and a hundredth of them for Adam.
        batch_size: Batch size of all methods but DP-SGD.
        epochs: Passes over the data of all methods but DP-SGD.
        gate_quantile: Strength of the gate.
        clip_cap: Strength of the clip.
        epsilons: Values of ε.
        delta: δ.
        dp_learning_rates: For DP-SGD, the learning rate times the clipping norm (the length of a
            step of clipped gradients).
        dp_clips: Clipping norms.
        dp_batch_sizes: Expected batch sizes of DP-SGD.
        dp_epochs: Passes over the data of DP-SGD.
        relative_ridge: Ridge of gate and clip.
        out: Run directory; default: runs/tune-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    train_size: int | None = None
    repeats: int = 3
    learning_rates: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    batch_size: int = 64
    epochs: int = 30
    gate_quantile: float = 0.9
    clip_cap: float = 0.05
    epsilons: tuple[float, ...] = (2.0, 8.0)
    delta: float = 1e-5
    dp_learning_rates: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0)
    dp_clips: tuple[float, ...] = (0.3, 1.0, 3.0)
    dp_batch_sizes: tuple[int, ...] = (64, 128, 256)
    dp_epochs: tuple[int, ...] = (30, 60)
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Trial:
    """Configurations that one compilation tries at once: they differ in numbers only."""

    defense: Defense
    recipes: Sequence[Recipe]


def run(options: Options) -> int:
    """Runs the search; returns the exit code."""
    check_option(options.repeats >= 1, f"--repeats {options.repeats} must be at least 1")
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    directory = RunDirectory(
        options.out or default_path("tune"), dataclasses.asdict(options), options.overwrite
    )
    with as_user_error(FileExistsError, PermissionError, NotADirectoryError):
        directory.create()
    trials = list(all_trials(options))
    rows: list[dict[str, Any]] = []
    with directory:
        with progress(console, len(trials)) as steps:
            for trial in trials:
                first = trial.recipes[0]
                name = recipe_key(trial.defense.family, trial.defense.epsilon)
                with steps.step(
                    f"{name}: {first.optimizer}, batch {first.batch_size}, {first.epochs} epochs"
                ):
                    accuracy = validation_accuracy(task, trial, options)
                rows += [
                    {"defense": name, **dataclasses.asdict(recipe), "accuracy": round(value, 5)}
                    for recipe, value in zip(trial.recipes, accuracy)
                ]
        record = search_record(options, rows)
        directory.file("recipes.json").write_text(to_json(record))
    console.print(to_terminal(_table(record)))
    console.print(f"recipes: {directory.path / 'recipes.json'}", soft_wrap=True)
    return 0


def all_trials(options: Options) -> Iterator[Trial]:
    """The whole search."""
    plain = [
        Defense("SGD", "sgd"),
        Defense("gate", "gate", options.gate_quantile),
        Defense("clip", "clip", options.clip_cap),
    ]
    for defense, optimizer in itertools.product(plain, get_args(OptimizerName)):
        scale = 0.01 if optimizer == "adam" else 1.0
        yield Trial(
            defense,
            [
                Recipe(optimizer, scale * rate, decay, options.batch_size, options.epochs)
                for rate, decay in itertools.product(options.learning_rates, (False, True))
            ],
        )
    for epsilon, optimizer, batch_size, epochs in itertools.product(
        options.epsilons, get_args(OptimizerName), options.dp_batch_sizes, options.dp_epochs
    ):
        yield Trial(
            Defense(f"DP-SGD ε={epsilon:g}", "dp_sgd", epsilon),
            [
                Recipe(
                    optimizer,
                    # Adam's steps do not depend on the scale of the gradient.
                    0.01 * step if optimizer == "adam" else step / clip,
                    decay,
                    batch_size,
                    epochs,
                    clip,
                )
                for step, clip, decay in itertools.product(
                    options.dp_learning_rates, options.dp_clips, (False, True)
                )
            ],
        )


def validation_accuracy(
    task: Task, trial: Trial, options: Options
) -> Float[np.ndarray, " recipes"]:
    """Mean accuracy of each recipe on the examples that its models were not trained on."""
    recipes, repeats = trial.recipes, options.repeats
    train = task.dataset.train
    halves = np.asarray(
        training.random_halves(jax.random.key(options.repeats), 2 * repeats, len(train))
    )[:repeats]
    masks = np.tile(halves, (len(recipes), 1))
    keys = jax.random.split(jax.random.key(0), repeats)
    initial = initial_params(task, keys)
    params = {
        "model": jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(recipes)), initial),
        "tuned": {
            "learning_rate": _repeated([r.learning_rate for r in recipes], repeats),
            "final_factor": _repeated([1.0 - r.cosine_decay for r in recipes], repeats),
            "l2_norm_clip": _repeated([r.l2_norm_clip or 1.0 for r in recipes], repeats),
        },
    }
    result = training.train_many(
        lambda params, example: task.loss_fn(params["model"], example),
        params,
        train,
        _tuned_optimizer(trial, masks, options),
        member_masks=masks,
        keys=jax.random.split(jax.random.key(1), len(masks)),
        batch_size=recipes[0].batch_size,
        epochs=recipes[0].epochs,
        sampling="poisson" if trial.defense.family == "dp_sgd" else "shuffle",
        progress=False,
    )
    logits = logits_of_many(task, result.params["model"], train)
    correct = np.where(masks, False, logits.argmax(-1) == train.y).sum(axis=1)
    accuracy = correct / (~masks).sum(axis=1)
    return accuracy.reshape(len(recipes), repeats).mean(axis=1)


def _tuned_optimizer(
    trial: Trial, masks: Bool[np.ndarray, "models examples"], options: Options
) -> Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs]:
    """An optimizer that reads its hyperparameters from `params["tuned"]`.

    So models with different hyperparameters are one `vmap` and one compilation.
    """
    family, recipe = trial.defense.family, trial.recipes[0]
    plan = training.plan_batches(
        masks, recipe.batch_size, recipe.epochs, "poisson" if family == "dp_sgd" else "shuffle"
    )
    num_steps = plan.steps_per_epoch * recipe.epochs
    noise = 0.0
    if trial.defense.epsilon is not None:
        privacy = account(trial.defense.epsilon, options.delta, plan, num_steps, recipe)
        noise = privacy.noise_multiplier

    def chain(tuned: dict[str, Array], key: PRNGKeyArray) -> optax.GradientTransformation:
        if family == "dp_sgd":
            first = transforms.dp_sgd(
                tuned["l2_norm_clip"], noise, plan.batch_size, key, batch_size=plan.physical_size
            )
        else:
            first = aggregation(
                trial.defense, options.relative_ridge, plan.physical_size, num_examples=None
            )
        follow = descent(recipe.optimizer, tuned["learning_rate"], tuned["final_factor"], num_steps)
        return optax.chain(first, follow)

    def make(key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        def init(params: PyTree) -> PyTree:
            return chain(params["tuned"], key).init(params)

        def update(grads: PyTree, state: PyTree, params: PyTree, **extra: Any):
            optimizer = optax.with_extra_args_support(chain(params["tuned"], key))
            updates, state = optimizer.update(grads, state, params, **extra)
            still = jax.tree.map(jnp.zeros_like, updates["tuned"])
            return {**updates, "tuned": still}, state

        return optax.GradientTransformationExtraArgs(init, update)

    return make


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    highest = max(row["accuracy"] for row in rows)
    close = [row for row in rows if row["accuracy"] >= highest - _TOLERANCE]
    return min(close, key=lambda row: (row["batch_size"], -row["accuracy"]))


def search_record(options: Options, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best recipe of each defense, with the whole search."""
    fields = [field.name for field in dataclasses.fields(Recipe)]
    by_defense: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_defense.setdefault(row["defense"], []).append(row)
    best = {name: _best(tried) for name, tried in by_defense.items()}
    return {
        "dataset": options.dataset,
        "command": "python -m experiments tune " + shlex.join(sys.argv[2:]),
        "selected_by": "mean accuracy on the half of the training split not trained on, "
        f"{options.repeats} halves; among those within {100 * _TOLERANCE:g} points of the best, "
        "the most accurate of the smallest batch size",
        "tried": {name: len(tried) for name, tried in by_defense.items()},
        "recipes": {name: {field: row[field] for field in fields} for name, row in best.items()},
        "accuracy": {name: row["accuracy"] for name, row in best.items()},
        "columns": list(rows[0]),
        "search": [list(row.values()) for row in rows],
    }


def _repeated(values: Sequence[float], repeats: int) -> Float[Array, " models"]:
    return jnp.repeat(jnp.asarray(values, jnp.float32), repeats)


def to_json(record: dict[str, Any]) -> str:
    """JSON with one line per configuration."""
    search = ",\n    ".join(json.dumps(row) for row in record["search"])
    head = json.dumps({**record, "search": None}, indent=2)
    return head.replace('"search": null', f'"search": [\n    {search}\n  ]') + "\n"


def _table(record: dict[str, Any]) -> Table:
    rows = []
    for name, recipe in record["recipes"].items():
        shown = [f"{recipe['learning_rate']:.4g}", "cosine" if recipe["cosine_decay"] else "–"]
        shown += [str(recipe["batch_size"]), str(recipe["epochs"]), str(recipe["l2_norm_clip"])]
        accuracy = f"{100 * record['accuracy'][name]:.1f}"
        rows.append([name, recipe["optimizer"], *shown, str(record["tried"][name]), accuracy])
    columns = ("defense", "optimizer", "rate", "decay", "batch", "epochs", "clip", "tried")
    return Table("Best configurations", (*columns, "validation accuracy (%)"), rows)
