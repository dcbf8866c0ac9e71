"""What the job does to every network: train it under every defense, and attack it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion import runs
from experiments.inversion.attacks import compared
from experiments.inversion.defenses import Setting, build_shared_updates, methods
from experiments.inversion.search import SearchBudget
from experiments.inversion.space import standardized
from experiments.jobs.precode.options import Options
from experiments.jobs.precode.training import Trained, held_out, train
from experiments.tasks.task import ModelName, load_task

_DEFENSES = ("precode", "ppp:1", "cvb")
BOUNDS = ("told",)  # beside the attacks


@dataclass(frozen=True)
class Plan:
    """What is trained and attacked.

    Attributes:
        options: Of the job.
        networks: What is attacked of every architecture, and how, by the option's name for it;
            the defenses are what is trained.
    """

    options: Options
    networks: Mapping[ModelName, runs.Plan]

    @property
    def families(self) -> dict[str, str]:
        """The families of all networks' defenses by their labels."""
        return {k: v for network in self.networks.values() for k, v in network.families.items()}

    @property
    def num_steps(self) -> int:
        """One step per learning rate of each defense, and those of the attacks."""
        rates = len(self.options.learning_rates)
        return sum(
            len(network.shared_updates) * rates + network.num_steps
            for network in self.networks.values()
        )


class Network(NamedTuple):
    """One architecture, trained and attacked under every defense.

    Attributes:
        plan: What was attacked, and how.
        attacked: What the attacks found, at initialization.
        trained: By label of the defense; that of no defense comes first.
    """

    plan: runs.Plan
    attacked: runs.Attacked
    trained: Mapping[str, Trained]

    @property
    def name(self) -> str:
        """The architecture in words."""
        return self.plan.task.model_name


def prepare(options: Options) -> Plan:
    """Loads the data and makes all defenses ready; wrong places of bottlenecks are found here."""
    return Plan(options, {model: _network(options, model) for model in options.models})


def _network(options: Options, model: ModelName) -> runs.Plan:
    task, space = standardized(
        load_task(options.dataset, model, options.hidden, options.train_size)
    )
    trained_on = int(np.sum(~held_out(len(task.dataset.train))))
    check_option(
        options.batch_size <= trained_on,
        f"--batch-size {options.batch_size} is more than the {trained_on} examples that are "
        "trained on; the others are held out",
    )
    setting = Setting(
        before=options.bottleneck_before,
        early_before=options.early_bottleneck_before,
        beta=options.beta,
        early_beta=options.early_beta,
    )
    names = options.defenses or _DEFENSES
    if model == "mlp" and (options.defenses is None or len(set(options.models)) > 1):
        without = {family for family, method in methods().items() if method.needs_convolutions}
        names = tuple(name for name in names if name.partition(":")[0] not in without)
    shared_updates = build_shared_updates(task, ("none", *names), setting)
    budget = SearchBudget.suited(space, model, iterations=options.iterations)
    return runs.Plan(options, task, space, shared_updates, (*compared(), *BOUNDS), budget)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[Network]:
    """Trains and attacks every architecture, and keeps the first seed's reconstructions."""
    measured = []
    for model, network in plan.networks.items():
        trained = {
            shared.label: train(network.task, shared, plan.options, steps)
            for shared in network.shared_updates
        }
        attacked = runs.run(network, steps)
        attacked.save_pictures(directory, f"pictures-{model}")
        measured.append(Network(network, attacked, trained))
    return measured


def frames(plan: Plan, networks: Sequence[Network]) -> dict[str, pl.DataFrame]:
    """Attacks: one row per network, seed, defense, attack and example. Training: one per epoch."""
    examples, training = [], []
    for network in networks:
        name = pl.lit(network.name).alias("network")
        examples.append(network.attacked.frame.select(name, pl.all().exclude("uniqueness")))
        for label, trained in network.trained.items():
            seed, epoch = np.indices(trained.loss.shape, np.int32)
            columns = {
                "seed": seed.ravel(),
                "epoch": epoch.ravel() + 1,
                "loss": trained.loss.ravel(),
                "test_accuracy": trained.test_accuracy.ravel(),
            }
            defense = pl.lit(label).alias("defense")
            training.append(pl.DataFrame(columns).select(name, defense, pl.all()))
    return {"examples": pl.concat(examples), "training": pl.concat(training)}
