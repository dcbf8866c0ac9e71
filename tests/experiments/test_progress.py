"""Steps of a job: counted, and kept for a run that goes on after an interruption."""

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.framework.progress import progress
from experiments.membership import runs
from experiments.membership.defenses import parse_defenses
from experiments.membership.options import MembershipOptions
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import load_task


class Killed(Exception):
    """What ends a job from outside."""


def steps_of(folder):
    return progress(Console(quiet=True), 4, folder)


def test_a_completed_step_is_read_and_not_computed_again(tmp_path):
    calls = []

    def compute(number):
        calls.append(number)
        if len(calls) == 2:
            raise Killed
        return {"found": np.full(3, number), "words": ["a", "b"]}

    def job():
        with steps_of(tmp_path / "kept") as steps:
            return [steps.result(f"step {n}", lambda n=n: compute(n)) for n in range(3)]

    with pytest.raises(Killed):
        job()
    found = job()
    assert calls == [0, 1, 1, 2]
    assert [one["found"].tolist() for one in found] == [[n] * 3 for n in range(3)]
    assert not list((tmp_path / "kept").glob("*.partial"))


def test_defenses_that_were_trained_are_not_trained_again(tmp_path, monkeypatch):
    options = MembershipOptions(hidden=(8,), seeds=2, shadow_models=4, train_size=80, epochs=1)
    task, book = load_task("digits", "mlp", (8,), 80), load_recipes("digits")
    defenses = parse_defenses(["sgd", "censor:0.1"])
    trained, run_seed = [], runs.run_seed

    def train_all(folder):
        with steps_of(folder) as steps:
            return runs.train_all(task, defenses, book, options, steps)

    def killed_at_the_third(*args, **kwargs):
        trained.append(args)
        if len(trained) == 3:
            raise Killed
        return run_seed(*args, **kwargs)

    whole = train_all(tmp_path / "whole")
    monkeypatch.setattr(runs, "run_seed", killed_at_the_third)
    with pytest.raises(Killed):
        train_all(tmp_path / "interrupted")
    resumed = train_all(tmp_path / "interrupted")
    assert len(trained) == 3 + 2
    for one, other in zip(whole, resumed, strict=True):
        for left, right in zip(jax.tree.leaves(one.seeds), jax.tree.leaves(other.seeds)):
            np.testing.assert_array_equal(left, right)
