"""Job `compare`: defenses side by side, accuracy against privacy as attacks measure it."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework import checks
from experiments.framework.errors import check_option
from experiments.framework.job import HEADLINE, run_directory
from experiments.framework.progress import progress
from experiments.jobs.compare import report
from experiments.membership import analysis, frames, runs
from experiments.membership.cost import reference_costs
from experiments.membership.defenses import Defense
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import ModelName, load_task


@dataclass(frozen=True)
class Options:
    """Compare defenses on one data set.

    Every defense trains the same random halves of the data from the same initial parameters; LiRA,
    RMIA and a loss threshold then attack every model, the others serving as its shadow models.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        defenses: What to compare. "censor" needs "sgd", from whose runs it takes what to remove.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per defense and seed (even): each is attacked with the others.
        epochs: Passes over the data, for every defense; default: those of the recipes.
        train_size: Keep only so many training examples; default: all.
        gate_quantile: The gate drops examples above this quantile of a batch's uniqueness.
        clip_cap: The clip scales gradients so that no uniqueness exceeds this.
        budget_nats: What the budget lets each example disclose.
        censor_fractions: Shares of each model's members that censoring removes.
        epsilons: Values of ε for DP-SGD.
        delta: δ of DP-SGD.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker of the bound is assumed to face. DP-SGD uses its own noise.
        other_ridges: Relative ridges under which plain SGD is measured too, for comparison.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/compare-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    defenses: tuple[str, ...] = ("sgd", "gate", "clip", "censor", "dp_sgd")
    seeds: int = 3
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    gate_quantile: float = 0.9
    clip_cap: float = 0.01
    budget_nats: float = 1.0
    censor_fractions: tuple[float, ...] = (0.01, 0.1)
    epsilons: tuple[float, ...] = (2.0, 8.0)
    delta: float = 1e-5
    relative_ridge: float = 0.1
    other_ridges: tuple[float, ...] = (0.01, 1.0)
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the comparison; returns the exit code."""
    _check(options)
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    book = load_recipes(options.dataset, options.recipes)
    with run_directory("compare", options) as directory:
        defenses = chosen_defenses(options)
        settings = runs.Settings(
            options.seeds,
            options.shadow_models,
            options.epochs,
            options.relative_ridge,
        )
        with progress(console, len(defenses) * options.seeds + 3) as steps:
            results = runs.train_all(task, defenses, book, settings, steps)
            with steps.step("plain SGD under other ridges"):
                others = [r for r in options.other_ridges if r != options.relative_ridge]
                ridges = runs.with_ridges(task, results[0], others, settings)
                ridges[options.relative_ridge] = results[0].seeds[0]
            with steps.step("cost of auditing"):
                batch_size = results[0].recipe.batch_size
                costs = reference_costs(task, batch_size, defenses, settings.relative_ridge)
            with steps.step("tables and figures"):
                frames.write(directory, task, results)
                frames.write_ridges(directory, task, ridges)
                summary = analysis.summarize(task, results, ridges, costs)
                directory.write_json(
                    "summary.json", {HEADLINE: analysis.headline(summary), **summary}
                )
                tables = report.write(directory, options, task, book, results, summary)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def chosen_defenses(options: Options) -> list[Defense]:
    """The rows of the comparison, in the order of the options."""
    variants: dict[str, list[Defense]] = {
        "sgd": [Defense("SGD", "sgd")],
        "gate": [Defense(f"gate q={options.gate_quantile:g}", "gate", options.gate_quantile)],
        "clip": [Defense(f"clip {options.clip_cap:g}", "clip", options.clip_cap)],
        "budget": [Defense(f"budget {options.budget_nats:g}", "budget", options.budget_nats)],
        "censor": [
            Defense(f"censor {100 * share:g} %", "censor", share)
            for share in options.censor_fractions
        ],
        "dp_sgd": [
            Defense(f"DP-SGD ε={eps:g}", "dp_sgd", eps, options.delta) for eps in options.epsilons
        ],
    }
    return [defense for family in dict.fromkeys(options.defenses) for defense in variants[family]]


def _check(options: Options) -> None:
    check_option(len(options.defenses) > 0, "--defenses is empty; name at least one")
    check_option(
        options.defenses[0] == "sgd",
        "--defenses must start with sgd: it is what the others are compared with",
    )
    checks.at_least_one(options, "seeds", "epochs")
    checks.shadow_models(options)
    check_option(
        0 < options.gate_quantile <= 1,
        f"--gate-quantile {options.gate_quantile} must be in (0, 1]",
    )
    checks.positive(options, "clip_cap", "budget_nats", "relative_ridge")
    checks.fractions(options, "delta")
    for ridge in options.other_ridges:
        check_option(ridge > 0, f"--other-ridges {ridge} must be positive")
    for share in options.censor_fractions:
        check_option(0 < share < 1, f"--censor-fractions {share} must be between 0 and 1")
    for epsilon in options.epsilons:
        check_option(epsilon > 0, f"--epsilons {epsilon} must be positive")
