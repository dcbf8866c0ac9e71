"""What the job measures: the task, the attribute, the layers, and what is varied."""

from dataclasses import dataclass

from experiments.framework.errors import UserError, as_user_error, check_option
from experiments.inversion.defenses import build_shared_updates
from experiments.inversion.search import SearchBudget
from experiments.inversion.sharing import SharedUpdate
from experiments.inversion.space import Space, standardized
from experiments.jobs.leakage import structure
from experiments.jobs.leakage.attributes import Attribute, feature_of, find, without_feature
from experiments.jobs.leakage.conditions import Condition, Sweep, make_sweeps
from experiments.jobs.leakage.observing import check_pool, draw_pool
from experiments.jobs.leakage.options import Options
from experiments.tasks.task import Task, load_task


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        options: Of the job.
        task: Data, standardized, and model.
        space: How standardized inputs and pictures belong together.
        attribute: The private attribute.
        shared: The plain network as `experiments.inversion` attacks it.
        sweeps: Conditions; the first is training progress.
        layers: Prefixes of the parameter tree, from input to output.
        fully_connected: Those after the feature extractor; empty if there is none.
        dropped: Layers whose input is dropped from, under dropout.
    """

    options: Options
    task: Task
    space: Space
    attribute: Attribute
    shared: SharedUpdate
    sweeps: tuple[Sweep, ...]
    layers: tuple[str, ...]
    fully_connected: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def num_steps(self) -> int:
        """Training, V-information, attribute inference and inversion of every seed."""
        return 4 * self.options.seeds

    @property
    def conditions(self) -> list[Condition]:
        """Every condition once."""
        return list(dict.fromkeys(c for sweep in self.sweeps for c in sweep.conditions))

    @property
    def budget(self) -> SearchBudget:
        """How gradients are inverted."""
        rate, total_variation = self.options.inversion_rate, self.options.total_variation
        return SearchBudget(self.space, self.options.iterations, rate, total_variation)


def prepare(options: Options) -> Plan:
    """Loads data and network, and checks what they must have."""
    raw = _load(options)
    attribute = find(options.attribute, raw.dataset)
    task, space = standardized(raw)
    with as_user_error(ValueError):
        layers = structure.default_layers(task.model, options.layers)
    _check_size(options, attribute)
    (shared,) = build_shared_updates(task, ["none"])
    return Plan(
        options,
        task,
        space,
        attribute,
        shared,
        make_sweeps(options),
        layers,
        structure.fully_connected_layers(task.model, layers),
        structure.layers_to_drop_from(task.model),
    )


def _load(options: Options) -> Task:
    """The task in the data set's own values; a feature that is the attribute gives the subgroups.

    Raises:
        UserError: It cannot be loaded, or has no such feature.
    """
    try:
        return load_task(
            options.dataset,
            options.model,
            options.hidden,
            options.train_size,
            options.channels,
            target=options.target,
            attribute=feature_of(options.attribute),
        )
    except UserError as error:
        raise without_feature(error) if str(error).startswith("attribute=") else error from None


def _check_size(options: Options, attribute: Attribute) -> None:
    """Checks that there are enough examples, for every seed, before anything is computed."""
    available = len(attribute.values)
    check_option(
        options.examples <= available,
        f"--examples {options.examples}: {options.dataset} has {available} training examples here; "
        "ask for at most that many",
    )
    for seed in range(options.seeds):
        with as_user_error(ValueError):
            pool = draw_pool(attribute.values, options.examples, options.folds, seed)
        check_pool(pool, options.width, max((1, *options.batch_sizes)))
