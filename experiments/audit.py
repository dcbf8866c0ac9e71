"""Job `audit`: train one model, watch what it discloses, and decide whether to release it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import optax
from jax.typing import ArrayLike
from rich.console import Console

from experiments.adaptation import adapted
from experiments.auditing import card
from experiments.auditing.history import History
from experiments.auditing.monitor import monitor
from experiments.auditing.policy import check_policy, parse_policy
from experiments.cost import StepCost, measure_steps
from experiments.defenses import Defense, Training, aggregation, prepare
from experiments.errors import check_option
from experiments.job import HEADLINE, run_directory
from experiments.recipe import Recipe, load_recipes
from experiments.task import ModelName, Task, load_task
from gujax import training
from gujax.reporting import to_terminal
from gujax.uniqueness import Ledger

VIOLATED = 3


@dataclass(frozen=True)
class Options:
    """Train one model on a whole training set, watch what it discloses, write a release card.

    The exit code is 3 if the policy is violated, so that a pipeline stops before it publishes.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        defense: How to train.
        policy: Limits that the release must respect, such as max_nats=0.5 or predicted_auc=0.6;
            also p99_nats, mean_nats, max_mu, predicted_tpr_1pct, predicted_tpr_01pct.
        audit_every: Measure every k-th step only ("sgd" and "dp_sgd"); totals are scaled by k.
        epochs: Passes over the data; default: those of the recipe.
        seed: Seed of initialization, batches and noise.
        train_size: Keep only so many training examples; default: all.
        gate_quantile: The gate drops examples above this quantile of a batch's uniqueness.
        clip_cap: The clip scales gradients so that no uniqueness exceeds this.
        budget_nats: What the budget lets each example disclose.
        epsilon: ε of DP-SGD.
        delta: δ of DP-SGD.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker is assumed to face. DP-SGD uses its own noise.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/audit-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    defense: Literal["sgd", "gate", "clip", "budget", "dp_sgd"] = "sgd"
    policy: tuple[str, ...] = ()
    audit_every: int = 1
    epochs: int | None = None
    seed: int = 0
    train_size: int | None = None
    gate_quantile: float = 0.9
    clip_cap: float = 0.01
    budget_nats: float = 1.0
    epsilon: float = 8.0
    delta: float = 1e-5
    relative_ridge: float = 0.1
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the audit; returns 0, or 3 if the policy is violated."""
    rules = parse_policy(options.policy, card.MEASURES)
    _check(options)
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    defense = _defense(options)
    recipe = load_recipes(options.dataset, options.recipes).find(defense.family, defense.epsilon)
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    check_option(
        len(task.dataset.train) >= recipe.batch_size,
        f"--train-size {options.train_size}: the recipe's batches have {recipe.batch_size} "
        "examples; keep as many at least, or give other --recipes",
    )
    fitted = adapted(task, recipe)
    with run_directory("audit", options) as directory:
        ready = prepare(
            defense,
            recipe,
            np.ones(len(task.dataset.train), bool),
            options.relative_ridge,
            options.delta,
            options.audit_every,
        )
        history = History(directory.checkpoints / "history.jsonl")
        trained = _train(options, fitted, recipe, ready, history, console)
        epochs = history.table()
        epochs.write_parquet(directory.file("epochs.parquet"))
        totals = card.totals(task, _ledger(trained), options.audit_every)
        totals.write_parquet(directory.file("per_example.parquet"))
        measured = card.measure(totals)
        headline = {"test_accuracy": epochs["test_accuracy"][-1], **measured}
        directory.write_json("summary.json", {HEADLINE: headline})
        findings = check_policy(rules, measured)
        cost = _cost(options, task, recipe)
        tables = card.write(
            directory, options, task, defense, ready.privacy, totals, epochs, findings, cost
        )
    for table in tables:
        console.print(to_terminal(table))
    for finding in findings:
        console.print(card.describe(finding), highlight=False)
    console.print(f"release card: {directory.path / 'card.html'}", soft_wrap=True)
    return 0 if all(finding.holds for finding in findings) else VIOLATED


def _train(
    options: Options,
    task: Task,
    recipe: Recipe,
    ready: Training,
    history: History,
    console: Console,
) -> training.TrainResult:
    """Trains under the monitor, and writes down what it shows."""
    init_key, train_key = jax.random.split(jax.random.key(options.seed))
    with monitor(console, recipe.epochs) as view:

        def watch(epoch: int, result: training.TrainResult) -> None:
            nats = options.audit_every * np.asarray(_ledger(result).nats)
            shown = {
                "loss": float(np.mean(result.steps.loss)),
                "train_accuracy": _last(result.epochs.train_accuracy),
                "test_accuracy": _last(result.epochs.test_accuracy),
            }
            view.show(epoch, **shown, nats=nats)
            median, high, largest = np.quantile(nats, (0.5, 0.99, 1.0)).tolist()
            spread = {"median_nats": median, "p99_nats": high, "max_nats": largest}
            history.add(epoch, {**shown, **spread})

        return training.train(
            task.loss_fn,
            task.model.init(init_key),
            task.dataset.train,
            ready.make_optimizer(train_key),
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            key=train_key,
            sampling=ready.sampling,
            randomized=recipe.augments,
            apply=task.model.apply,
            test=task.dataset.test,
            callback=watch,
            progress=False,
        )


def _last(per_epoch: ArrayLike | None) -> float:
    assert per_epoch is not None
    return float(np.ravel(per_epoch)[-1])


def _ledger(result: training.TrainResult) -> Ledger:
    ledger = training.aggregation_state(result.opt_state).ledger
    assert ledger is not None
    return ledger


def _defense(options: Options) -> Defense:
    match options.defense:
        case "dp_sgd":
            return Defense(f"DP-SGD ε={options.epsilon:g}", "dp_sgd", options.epsilon)
        case "gate":
            return Defense(f"gate q={options.gate_quantile:g}", "gate", options.gate_quantile)
        case "clip":
            return Defense(f"clip {options.clip_cap:g}", "clip", options.clip_cap)
        case "budget":
            return Defense(f"budget {options.budget_nats:g}", "budget", options.budget_nats)
        case _:
            return Defense("SGD", "sgd")


def _cost(options: Options, task: Task, recipe: Recipe) -> dict[str, StepCost]:
    """A plain step beside one that also measures the uniqueness of its batch."""
    train = task.dataset.train
    size = min(recipe.batch_size, len(train))
    audited = aggregation(Defense("SGD", "sgd"), options.relative_ridge, size, len(train))
    follow = optax.sgd(0.1, momentum=0.9)
    params = task.model.init(jax.random.key(0))
    batch = train.x[:size], train.y[:size]
    chains = {"audited": optax.chain(audited, follow)}
    return measure_steps(task.loss_fn, params, batch, chains, follow)


def _check(options: Options) -> None:
    check_option(
        options.audit_every >= 1, f"--audit-every {options.audit_every} must be at least 1"
    )
    check_option(
        options.audit_every == 1 or options.defense in ("sgd", "dp_sgd"),
        f"--audit-every: the {options.defense} defense measures every step anyway; leave it 1",
    )
    check_option(
        options.epochs is None or options.epochs >= 1,
        f"--epochs {options.epochs} must be at least 1",
    )
    check_option(
        0 < options.gate_quantile <= 1,
        f"--gate-quantile {options.gate_quantile} must be in (0, 1]",
    )
    for name in ("clip_cap", "budget_nats", "relative_ridge", "epsilon"):
        value = getattr(options, name)
        check_option(value > 0, f"--{name.replace('_', '-')} {value} must be positive")
    check_option(0 < options.delta < 1, f"--delta {options.delta} must be between 0 and 1")
