"""Runs parted into ordinary examples and canaries, which are reported apart."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from experiments.framework.results import Entry, Key
from experiments.membership.analysis import best_entries
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.task import Task


def ordinary(run: DefenseRun, task: Task) -> DefenseRun:
    """The run without what it says about canaries; itself where there are none."""
    if task.canaries is None:
        return run
    kept = ~np.isin(task.dataset.train.ids, task.canaries.ids)
    return replace(run, seeds=[selected(of_seed, kept) for of_seed in run.seeds])


def of_canaries(run: DefenseRun, task: Task) -> list[SeedRun]:
    """What the run says about canaries, [M, C] for C canaries.

    The attack asks whether a canary, with its near-duplicates if it has any, was in the training
    set; its score is the mean over them: of log-likelihood ratios, what independent answers say.
    """
    assert task.canaries is not None
    train, made = task.dataset.train, task.canaries
    chosen = np.isin(train.ids, made.ids)
    groups, first, belongs = np.unique(made.groups[chosen], return_index=True, return_inverse=True)
    share = (belongs[:, None] == np.arange(len(groups))) / np.bincount(belongs)
    seeds = []
    for of_seed in run.seeds:
        every = selected(of_seed, chosen)
        one = selected(every, first)
        scores = {name: values @ share for name, values in every.outputs.scores.items()}
        seeds.append(one._replace(outputs=one.outputs._replace(scores=scores)))
    return seeds


def canary_entries(run: DefenseRun, task: Task, /, **keys: Key) -> Iterator[Entry]:
    """What the best attack finds of the canaries, see `best_entries`; nothing if there are none.

    Keys: defense, and "canaries" for examples.
    """
    if task.canaries is not None:
        label = run.defense.label
        yield from best_entries(of_canaries(run, task), defense=label, examples="canaries", **keys)


def selected(run: SeedRun, chosen: np.ndarray) -> SeedRun:
    """The run of some of its examples, by mask or positions."""
    outputs = run.outputs
    return run._replace(
        members=run.members[:, chosen],
        removed=run.removed[:, chosen],
        nats=run.nats[:, chosen],
        mu=run.mu[:, chosen],
        appearances=run.appearances[:, chosen],
        outputs=outputs._replace(
            scores={name: values[:, chosen] for name, values in outputs.scores.items()},
            margin=outputs.margin[:, chosen],
        ),
    )
