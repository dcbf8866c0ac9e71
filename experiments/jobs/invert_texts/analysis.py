"""The numbers of the report, from the table of updates."""

from collections.abc import Iterator

import polars as pl

from experiments.framework.results import Entry, entry
from experiments.jobs.invert_texts.measure import Attacked
from experiments.jobs.invert_texts.plan import Plan

MEASURES = ("tokens_recovered", "texts_recovered", "false_texts")


def analyze(plan: Plan, attacked: Attacked) -> Iterator[Entry]:
    """Of every defense, means over the updates of a seed, and how often DAGER refused.

    Keys: defense.
    """
    for shared in plan.shared_updates:
        label = shared.label
        yield entry("texts_per_update", shared.num_examples, defense=label)
        of_defense = attacked.frame.filter(pl.col("defense") == label)
        seeds = of_defense.partition_by("seed", maintain_order=True)
        inputs = [seed["inputs"].to_numpy().mean() for seed in seeds]
        yield entry("inputs_per_update", inputs, defense=label)
        for measure in MEASURES:
            yield entry(measure, [seed[measure].to_numpy().mean() for seed in seeds], defense=label)
        refused = [seed["refusal"].is_not_null().to_numpy().mean() for seed in seeds]
        yield entry("refused", refused, defense=label)
