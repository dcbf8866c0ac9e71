"""Job `tune`: the hyperparameters with which `compare` runs every defense."""

import dataclasses
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree
from rich.console import Console

from experiments.adaptation import adapted
from experiments.defenses import Defense, account, aggregation
from experiments.errors import check_option
from experiments.job import run_directory
from experiments.recipe import OptimizerName, Recipe, descent, recipe_key
from experiments.task import ModelName, Task, initial_params, load_task, logits_of_many
from experiments.tuned import tuned_loss, tuned_optimizer, with_tuned
from gujax import training, transforms
from gujax.reporting import Table, progress, to_terminal
from gujax.training import random_halves


@dataclass(frozen=True)
class Options:
    """Search hyperparameters for every defense on one data set.

    Models are trained on random halves of the training split and judged on the other half; the
    test split is not touched. The best few of a wide search on few halves go into finals on many
    fresh ones, and the highest mean accuracy there wins. DP-SGD is given by far the largest
    search: a baseline must not lose for want of tuning.

    Attributes:
        dataset: Data set to search on.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        train_size: Keep only so many training examples; default: all.
        repeats: Random halves per configuration of the search.
        finalists: Configurations of each defense that go into the finals.
        final_repeats: Random halves per finalist, other ones than those of the search.
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
        multiplicities: Numbers of randomly shifted and flipped copies of an image that every method
            tries as one example; 0 is the image itself.
        dp_multiplicities: The same for DP-SGD.
        shift: Largest shift of a copy, in pixels.
        flip: Whether copies are flipped.
        average_decay: If positive, every configuration is judged twice: by its last parameters and
            by their moving average with this decay.
        standardize_weights: Whether kernels of convolutions are standardized; every method tries
            each value given.
        relative_ridge: Ridge of gate and clip.
        out: Run directory; default: runs/tune-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    channels: tuple[int, ...] = (16, 32)
    train_size: int | None = None
    repeats: int = 3
    finalists: int = 8
    final_repeats: int = 16
    learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    batch_size: int = 64
    epochs: int = 30
    gate_quantile: float = 0.9
    clip_cap: float = 0.01
    epsilons: tuple[float, ...] = (2.0, 8.0)
    delta: float = 1e-5
    dp_learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    dp_clips: tuple[float, ...] = (0.3, 1.0, 3.0)
    dp_batch_sizes: tuple[int, ...] = (64, 128, 256)
    dp_epochs: tuple[int, ...] = (30, 60)
    multiplicities: tuple[int, ...] = (0,)
    dp_multiplicities: tuple[int, ...] = (0,)
    shift: int = 2
    flip: bool = False
    average_decay: float = 0.0
    standardize_weights: tuple[bool, ...] = (False,)
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


# What one compilation may vary: numbers that travel with the parameters.
_NUMBERS: dict[str, Any] = {
    "learning_rate": 0.0,
    "cosine_decay": False,
    "l2_norm_clip": None,
    "average_decay": 0.0,
}


@dataclass(frozen=True)
class Trial:
    """Configurations that one compilation tries at once: they differ in numbers only."""

    defense: Defense
    recipes: list[Recipe]


class Row(NamedTuple):
    """One configuration and its mean accuracy."""

    defense: Defense
    recipe: Recipe
    accuracy: float


def run(options: Options) -> int:
    """Runs the search; returns the exit code."""
    for name in ("repeats", "finalists", "final_repeats"):
        value = getattr(options, name)
        flag = f"--{name.replace('_', '-')}"
        check_option(value >= 1, f"{flag} {value} must be at least 1")
    check_option(
        0 <= options.average_decay < 1,
        f"--average-decay {options.average_decay} must be at least 0 and below 1",
    )
    for name in ("multiplicities", "dp_multiplicities"):
        for value in getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            check_option(value >= 0, f"{flag} {value} must not be negative")
    check_option(options.shift >= 0, f"--shift {options.shift} must not be negative")
    console = Console()
    task = load_task(
        options.dataset, options.model, options.hidden, options.train_size, options.channels
    )
    trials = list(all_trials(options))
    for trial in trials:
        adapted(task, trial.recipes[0])  # says now what the data do not allow
    with run_directory("tune", options) as directory:
        search = _try_all(console, task, trials, options, "search")
        finals = _try_all(console, task, final_trials(search, options), options, "finals")
        record = search_record(options, task.model_name, search, finals)
        directory.file("recipes.json").write_text(to_json(record))
    console.print(to_terminal(_table(record)))
    console.print(f"recipes: {directory.path / 'recipes.json'}", soft_wrap=True)
    return 0


def _try_all(
    console: Console,
    task: Task,
    trials: Sequence[Trial],
    options: Options,
    stage: Literal["search", "finals"],
) -> list[Row]:
    """One row per configuration, with its mean accuracy."""
    repeats, seed = (options.repeats, 1) if stage == "search" else (options.final_repeats, 2)
    halves = random_halves(jax.random.key(seed), 2 * repeats, len(task.dataset.train))
    rows: list[Row] = []
    with progress(console, len(trials)) as steps:
        for trial in trials:
            first, name = trial.recipes[0], trial.defense.label
            with steps.step(
                f"{stage}, {name}: {first.optimizer}, batch {first.batch_size}, "
                f"{first.epochs} epochs"
                + (f", {first.augmentation_multiplicity} copies" if first.augments else "")
                + (", standardized weights" if first.standardize_weights else "")
            ):
                accuracy = validation_accuracy(task, trial, np.asarray(halves)[:repeats], options)
            rows += [Row(trial.defense, *pair) for pair in zip(trial.recipes, accuracy.tolist())]
    return rows


def final_trials(search: Sequence[Row], options: Options) -> list[Trial]:
    """The most accurate configurations of each defense, those of one compilation together."""
    trials: dict[tuple, Trial] = {}
    for defense in dict.fromkeys(row.defense for row in search):
        tried = [row for row in search if row.defense == defense]
        for row in sorted(tried, key=lambda row: -row.accuracy)[: options.finalists]:
            shared = defense, replace(row.recipe, **_NUMBERS)
            trials.setdefault(shared, Trial(defense, [])).recipes.append(row.recipe)
    return list(trials.values())


def all_trials(options: Options) -> Iterator[Trial]:
    """The whole search."""
    plain = [
        Defense("SGD", "sgd"),
        Defense("gate", "gate", options.gate_quantile),
        Defense("clip", "clip", options.clip_cap),
    ]
    decays = (0.0, options.average_decay) if options.average_decay else (0.0,)
    shared = itertools.product(
        plain, get_args(OptimizerName), practices(options, options.multiplicities)
    )
    for defense, optimizer, practice in shared:
        scale = 0.01 if optimizer == "adam" else 1.0
        yield Trial(
            defense,
            [
                Recipe(
                    optimizer,
                    scale * rate,
                    cosine,
                    options.batch_size,
                    options.epochs,
                    average_decay=decay,
                    **practice,
                )
                for rate, cosine, decay in itertools.product(
                    options.learning_rates, (False, True), decays
                )
            ],
        )
    for epsilon, optimizer, practice, batch_size, epochs in itertools.product(
        options.epsilons,
        get_args(OptimizerName),
        practices(options, options.dp_multiplicities),
        options.dp_batch_sizes,
        options.dp_epochs,
    ):
        yield Trial(
            Defense(f"DP-SGD ε={epsilon:g}", "dp_sgd", epsilon),
            [
                Recipe(
                    optimizer,
                    # Adam's steps do not depend on the scale of the gradient.
                    0.01 * step if optimizer == "adam" else step / clip,
                    cosine,
                    batch_size,
                    epochs,
                    clip,
                    average_decay=decay,
                    **practice,
                )
                for step, clip, cosine, decay in itertools.product(
                    options.dp_learning_rates, options.dp_clips, (False, True), decays
                )
            ],
        )


def practices(options: Options, multiplicities: Sequence[int]) -> list[dict[str, Any]]:
    """What a method tries beside numbers: augmentation and standardized weights."""
    copies = {"shift": options.shift, "flip": options.flip}
    augmentations: list[dict[str, Any]] = [
        {"augmentation_multiplicity": count, **(copies if count else {})}
        for count in multiplicities
    ]
    return [
        {**augmentation, "standardize_weights": standardize}
        for augmentation, standardize in itertools.product(
            augmentations, options.standardize_weights
        )
    ]


def validation_accuracy(
    task: Task, trial: Trial, halves: Bool[np.ndarray, "repeats examples"], options: Options
) -> Float[np.ndarray, " recipes"]:
    """Mean accuracy of each recipe on the examples that its models were not trained on.

    Args:
        task: Data and model.
        trial: Configurations.
        halves: Examples that each repeat trains on, [repeats, N].
        options: Strengths of the defenses.
    """
    # Averaging changes no update: a recipe with it and one without share their models.
    runs = list(dict.fromkeys(replace(recipe, average_decay=0.0) for recipe in trial.recipes))
    first, repeats, train = trial.recipes[0], len(halves), task.dataset.train
    task = adapted(task, first)
    masks = np.tile(halves, (len(runs), 1))
    keys = jax.random.split(jax.random.key(0), repeats)
    initial = initial_params(task, keys)
    params = with_tuned(
        jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(runs)), initial),
        learning_rate=_repeated([r.learning_rate for r in runs], repeats),
        final_factor=_repeated([1.0 - r.cosine_decay for r in runs], repeats),
        l2_norm_clip=_repeated([r.l2_norm_clip or 1.0 for r in runs], repeats),
    )
    result = training.train_many(
        tuned_loss(task.loss_fn),
        params,
        train,
        _tuned_optimizer(trial, masks, options),
        member_masks=masks,
        keys=jax.random.split(jax.random.key(1), len(masks)),
        batch_size=first.batch_size,
        epochs=first.epochs,
        sampling="poisson" if trial.defense.family == "dp_sgd" else "shuffle",
        randomized=first.augments,
        progress=False,
    )

    def judge(params: PyTree) -> Float[np.ndarray, " runs"]:
        logits = logits_of_many(task, params, train)
        correct = np.where(masks, False, logits.argmax(-1) == train.y).sum(axis=1)
        accuracy = correct / (~masks).sum(axis=1)
        return accuracy.reshape(len(runs), repeats).mean(axis=1)

    last = result.params["model"]
    judged = {False: judge(last), True: judge(training.released_params(last, result.opt_state))}
    return np.array(
        [
            judged[recipe.average_decay > 0][runs.index(replace(recipe, average_decay=0.0))]
            for recipe in trial.recipes
        ]
    )


def _tuned_optimizer(
    trial: Trial, masks: Bool[np.ndarray, "models examples"], options: Options
) -> Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs]:
    family, recipe = trial.defense.family, trial.recipes[0]
    plan = training.plan_batches(
        masks, recipe.batch_size, recipe.epochs, "poisson" if family == "dp_sgd" else "shuffle"
    )
    num_steps = plan.steps_per_epoch * recipe.epochs
    average_decay = max(recipe.average_decay for recipe in trial.recipes)
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
        return optax.chain(first, follow, training.average_parameters(average_decay))

    return tuned_optimizer(chain)


def search_record(
    options: Options, model_name: str, search: Sequence[Row], finals: Sequence[Row]
) -> dict[str, Any]:
    """The best recipe of each defense, with the whole search and the finals."""
    best: dict[str, Row] = {}
    order = [(row.defense, row.recipe) for row in search]
    # Equal accuracies go to what the search tried first.
    for row in sorted(finals, key=lambda row: order.index((row.defense, row.recipe))):
        name = recipe_key(row.defense.family, row.defense.epsilon)
        best[name] = max(best.get(name, row), row, key=lambda row: round(row.accuracy, 5))
    return {
        "dataset": options.dataset,
        "model": model_name,
        "command": _command(sys.argv[2:]),
        "selected_by": "highest mean accuracy on the half of the training split not trained on, "
        f"over {options.final_repeats} fresh halves, among the {options.finalists} best of a "
        f"search on {options.repeats} halves",
        "tried": {
            name: sum(row.defense == chosen.defense for row in search)
            for name, chosen in best.items()
        },
        "recipes": {name: dataclasses.asdict(row.recipe) for name, row in best.items()},
        "accuracy": {name: round(row.accuracy, 5) for name, row in best.items()},
        "columns": ["defense", *(field.name for field in dataclasses.fields(Recipe)), "accuracy"],
        "finals": _cells(finals),
        "search": _cells(search),
    }


def _command(arguments: Sequence[str]) -> str:
    """The command line of the search, without where its results went."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument not in ("--out", "--overwrite"):
            kept.append(argument)
        skip = argument == "--out"
    return shlex.join(["python", "-m", "experiments", "tune", *kept])


def _cells(rows: Sequence[Row]) -> list[list[Any]]:
    return [
        [
            recipe_key(row.defense.family, row.defense.epsilon),
            *dataclasses.astuple(row.recipe),
            round(row.accuracy, 5),
        ]
        for row in rows
    ]


def _repeated(values: Sequence[float], repeats: int) -> Float[Array, " models"]:
    return jnp.repeat(jnp.asarray(values, jnp.float32), repeats)


def to_json(record: dict[str, Any]) -> str:
    """JSON with one line per configuration."""
    lists = {name: record[name] for name in ("finals", "search")}
    text = json.dumps({**record, **dict.fromkeys(lists)}, indent=2)
    for name, rows in lists.items():
        lines = ",\n    ".join(json.dumps(row) for row in rows)
        text = text.replace(f'"{name}": null', f'"{name}": [\n    {lines}\n  ]')
    return text + "\n"


def _table(record: dict[str, Any]) -> Table:
    rows = []
    for name, recipe in record["recipes"].items():
        shown = [f"{recipe['learning_rate']:.4g}", "cosine" if recipe["cosine_decay"] else "–"]
        shown += [str(recipe["batch_size"]), str(recipe["epochs"]), str(recipe["l2_norm_clip"])]
        accuracy = f"{100 * record['accuracy'][name]:.1f}"
        rows.append([name, recipe["optimizer"], *shown, str(record["tried"][name]), accuracy])
        practices = {
            "copies": recipe["augmentation_multiplicity"],
            "average": recipe["average_decay"],
            "standardized": recipe["standardize_weights"],
        }
        used = [f"{word} {value}" for word, value in practices.items() if value]
        rows[-1].append(", ".join(used) or "–")
    columns = ("defense", "optimizer", "rate", "decay", "batch", "epochs", "clip", "tried")
    return Table("Best configurations", (*columns, "validation accuracy (%)", "practices"), rows)
