"""Clients in processes of their own send what the same code computes in one."""

import jax
import numpy as np
import polars as pl
import pytest

from experiments.framework.command_line import USER_ERROR, main
from experiments.framework.results import Results
from experiments.inversion import runs
from experiments.jobs.federated.measure import _exchange
from experiments.jobs.federated.options import Options
from experiments.jobs.federated.plan import prepare
from tests.experiments.running import check_files, run_of

run = run_of(
    "federated --hidden 24 --victims 8 --clients 2 --local-steps 1 2 --seeds 2 --iterations 2 "
    "--attacks lone_units"
)


def test_the_run_is_complete_and_has_every_file(run):
    check_files(run[0], "claims.json", "report.html", "examples.parquet", "pictures.npz")
    page = (run[0] / "report.html").read_text()
    assert "sum of 2 clients, 2 steps" in page


def test_a_sum_is_of_every_clients_examples(run):
    results = Results.read(run[0] / "results.parquet")
    sizes = {
        label: results.get("examples_per_update", defense=label).mean
        for label in results.values("defense")
    }
    assert sizes == {
        "each client, 1 step": 1,
        "each client, 2 steps": 2,
        "sum of 2 clients, 1 step": 2,
        "sum of 2 clients, 2 steps": 4,
    }
    frame = pl.read_parquet(run[0] / "examples.parquet")
    # One example alone is read by the analytic attack, and lone units are those of a batch.
    made = set(frame.filter(pl.col("attack") == "lone_units")["defense"])
    assert made == set(sizes) - {"each client, 1 step"}


def test_what_arrives_is_what_one_process_computes():
    plan = prepare(Options(hidden=(24,), victims=8, clients=(2,), local_steps=(2,), seeds=1))
    sent = _exchange(plan, 2)
    for now in runs.rounds(plan.attacked):
        here = jax.tree.leaves(runs.received_here(now).updates)
        for index, leaf in enumerate(here):
            found = sent.pop(f"{now.seed}|{now.shared.label}|{index}")
            scale = np.abs(leaf).max()
            assert scale > 0
            np.testing.assert_allclose(found, leaf, rtol=0, atol=1e-6 * scale)
    assert not sent  # nothing else has reached the server


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clients", "1"], "--clients 1 must be 2 or more"),
        (
            ["--victims", "12", "--clients", "8"],
            "--victims 12 must be a multiple of the 8 examples",
        ),
        (["--attacks", "guess"], "unknown attack 'guess'"),
        (["--clients", "4", "--victims", "4000", "--local-steps", "1"], "--victims 4000 is more"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(arguments, message, capsys, tmp_path):
    assert main(["federated", *arguments, "--out", str(tmp_path / "run")]) == USER_ERROR
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
