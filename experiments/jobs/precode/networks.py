"""What the job does to one network: train it under every defense, and attack it."""

from collections.abc import Mapping
from typing import NamedTuple

from experiments.framework.progress import Steps
from experiments.inversion import runs
from experiments.jobs.precode.training import Schedule, Trained, train


class Network(NamedTuple):
    """One architecture, trained and attacked under every defense.

    Attributes:
        plan: What was attacked, and how.
        attacked: What the attacks found, at initialization.
        trained: By label of the defense; that of no defense comes first.
    """

    plan: runs.Plan
    attacked: runs.Results
    trained: Mapping[str, Trained]


def num_steps(plan: runs.Plan, schedule: Schedule) -> int:
    """Steps of progress that `measure` takes."""
    return len(plan.shared_updates) * len(schedule.learning_rates) + plan.seeds * len(plan.pairs)


def measure(plan: runs.Plan, schedule: Schedule, steps: Steps) -> Network:
    """Trains and attacks one architecture.

    Args:
        plan: What to attack, and how; its defenses are what is trained.
        schedule: How to train.
        steps: Progress; takes `num_steps`.
    """
    trained = {
        shared.label: train(plan.task, shared, schedule, steps) for shared in plan.shared_updates
    }
    return Network(plan, runs.run(plan, steps), trained)
