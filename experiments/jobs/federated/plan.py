"""What the job attacks: updates of single clients, and sums over clients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.inversion import runs
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.search import SearchBudget
from experiments.inversion.sharing import SharedUpdate
from experiments.inversion.space import standardized
from experiments.jobs.federated.options import Options


@dataclass(frozen=True)
class Plan:
    """What is sent, and how it is attacked.

    Attributes:
        options: Of the job.
        attacked: All updates, and the attacks on them.
        steps: Local steps of each update, in their order.
    """

    options: Options
    attacked: runs.Plan
    steps: Sequence[int]

    @property
    def num_steps(self) -> int:
        """One for each number of clients, and those of the attacks."""
        return len(set(self.options.clients)) + self.attacked.num_steps

    def of_clients(self, clients: int) -> runs.Plan:
        """The updates that so many clients send; the largest number also sends its own."""
        also = 1 if clients == max(self.options.clients) else clients
        sent = [s for s in self.attacked.shared_updates if s.num_clients in (clients, also)]
        return replace(self.attacked, shared_updates=sent)


def prepare(options: Options) -> Plan:
    """Loads the data and makes the updates ready."""
    task, space = standardized(options.load_task())

    def build(name: str, label: str, steps: int) -> SharedUpdate:
        setting = Setting(batch_size=options.batch_size, local_steps=steps)
        (shared,) = build_shared_updates(task, [name], setting)
        return replace(shared, label=f"{label}, {steps} step{'s' * (steps > 1)}")

    clients, steps = (list(dict.fromkeys(x)) for x in (options.clients, options.local_steps))
    sent = [
        *((build(f"local_steps:{k}", "each client", k), k) for k in steps),
        *((build(f"secure:{n}", f"sum of {n} clients", k), k) for n in clients for k in steps),
    ]
    budget = SearchBudget.suited(space, options.model, iterations=options.iterations)
    shared_updates, taken = zip(*sent)
    return Plan(
        options, runs.Plan(options, task, space, shared_updates, options.attacks, budget), taken
    )
