"""The numbers of the job, from its attacks and trainings."""

from collections.abc import Iterator, Sequence

from experiments.framework.results import Entry, Key, entry
from experiments.inversion.analysis import attack_entries
from experiments.jobs.precode.measure import Network, Plan


def analyze(plan: Plan, networks: Sequence[Network]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: network, in words, and defense; attack of what `attack_entries` says; learning_rate of
    what was tried on held-out examples; epoch of the curves of the chosen one.
    """
    for network in networks:
        yield from attack_entries(network.plan, network.attacked, network=network.name)
        plain = next(iter(network.trained.values())).test_accuracy[:, -1]
        for label, trained in network.trained.items():
            place: dict[str, Key] = {"network": network.name, "defense": label}
            accuracy = trained.test_accuracy[:, -1]
            yield entry("learning_rate", trained.learning_rate, **place)
            yield entry("test_accuracy", accuracy, **place)
            if network.plan.families[label] != "none":
                yield entry("accuracy_difference", accuracy - plain, **place)
            for rate, reached in zip(plan.options.learning_rates, trained.validation):
                yield entry("validation_accuracy", reached, **place, learning_rate=rate)
            curves = {"test_accuracy": trained.test_accuracy, "loss": trained.loss}
            for name, values in curves.items():
                for epoch, of_epoch in enumerate(values.T, start=1):
                    yield entry(name, of_epoch, **place, epoch=epoch)
