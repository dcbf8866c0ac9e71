"""The numbers of the report, from the table of examples."""

from collections.abc import Iterator

from experiments.framework.results import Entry, entry
from experiments.inversion.analysis import attack_entries
from experiments.inversion.runs import Attacked
from experiments.jobs.federated.plan import Plan


def analyze(plan: Plan, attacked: Attacked) -> Iterator[Entry]:
    """What the attacks reach, and what each update is of.

    Keys: defense, which here is what the server receives, and attack.
    """
    yield from attack_entries(plan.attacked, attacked)
    for shared, steps in zip(plan.attacked.shared_updates, plan.steps):
        yield entry("clients", shared.num_clients, defense=shared.label)
        yield entry("local_steps", steps, defense=shared.label)
