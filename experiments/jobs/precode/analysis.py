"""The numbers of the report, and the tables that they follow from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.framework.seeds import differences, over_seeds
from experiments.inversion import analysis
from experiments.jobs.precode.networks import Network
from experiments.jobs.precode.training import Schedule, Trained


def summarize(networks: Sequence[Network], schedule: Schedule) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        networks: What was measured.
        schedule: How they were trained.

    Returns:
        By network, in words, and by defense: what `experiments.inversion.analysis` says of the
        attacks, and under "training" the accuracies, per seed with their intervals.
    """
    return {
        "schedule": {"epochs": schedule.epochs, "batch_size": schedule.batch_size},
        "networks": {
            network.plan.task.model_name: _summarize(network, schedule) for network in networks
        },
    }


def _summarize(network: Network, schedule: Schedule) -> dict[str, Any]:
    summary = analysis.summarize(network.plan, network.attacked)
    plain = _accuracy(next(iter(network.trained.values())))
    for label, trained in network.trained.items():
        accuracy = _accuracy(trained)
        summary["defenses"][label]["training"] = {
            "learning_rate": trained.learning_rate,
            "validation": [
                {"learning_rate": rate, "accuracy": reached}
                for rate, reached in zip(schedule.learning_rates, trained.validation)
            ],
            "test_accuracy": accuracy,
            "difference": differences(accuracy, plain),
            "curves": {
                name: [over_seeds(of_epoch) for of_epoch in values.T]
                for name, values in (
                    ("test_accuracy", trained.test_accuracy),
                    ("loss", trained.loss),
                )
            },
        }
    return summary


def _accuracy(trained: Trained) -> Mapping[str, Any]:
    return over_seeds(trained.test_accuracy[:, -1])


def attacks_frame(networks: Sequence[Network]) -> pl.DataFrame:
    """One row per network, seed, defense, attack and example."""
    return pl.concat(
        network.attacked.frame.select(
            pl.lit(network.plan.task.model_name).alias("network"), pl.all().exclude("uniqueness")
        )
        for network in networks
    )


def training_frame(networks: Sequence[Network]) -> pl.DataFrame:
    """One row per network, defense, seed and epoch."""
    parts = []
    for network in networks:
        for label, trained in network.trained.items():
            seeds, epochs = trained.loss.shape
            parts.append(
                pl.DataFrame(
                    {
                        "network": [network.plan.task.model_name] * (seeds * epochs),
                        "defense": [label] * (seeds * epochs),
                        "seed": np.repeat(np.arange(seeds, dtype=np.int32), epochs),
                        "epoch": np.tile(np.arange(1, epochs + 1, dtype=np.int32), seeds),
                        "loss": trained.loss.ravel(),
                        "test_accuracy": trained.test_accuracy.ravel(),
                    }
                )
            )
    return pl.concat(parts)
