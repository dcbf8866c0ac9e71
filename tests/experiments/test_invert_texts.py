"""A small run of the job `invert_texts` through the real command line, and what it refuses."""

import numpy as np
import polars as pl
import pytest

from experiments.framework.command_line import USER_ERROR, main
from experiments.framework.results import Results
from experiments.jobs.invert_texts.measure import agreement, different_beginnings
from tests.experiments.running import check_files, run_job

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
TEXTS = ["".join(text) for text in np.random.default_rng(0).choice(LETTERS, (24, 7))]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture(scope="module")
def run(texts, tmp_path_factory):
    """Two texts of six tokens in an update; 48 tokens are more than the width of 32."""
    return run_job(
        tmp_path_factory.mktemp("invert_texts") / "run",
        f"invert_texts --texts {texts} --num-texts {len(TEXTS)} --context 6 --width 32 --seeds 2 "
        "--batch-size 2 --updates 2 --defenses none batch:8 gaussian:0.01",
    )


def test_the_run_is_complete_and_has_every_file(run):
    check_files(run[0], "claims.json", "report.html", "updates.parquet")


def test_every_text_is_read_or_the_condition_named_that_fails(run):
    results = Results.read(run[0] / "results.parquet")
    plain = results.where(defense="no defense")
    assert plain.get("tokens_recovered").values.tolist() == [1, 1]
    assert plain.get("texts_recovered").values.tolist() == [1, 1]
    assert plain.get("false_texts").values.tolist() == [0, 0]
    assert plain.get("refused").values.tolist() == [0, 0]
    for defense in ("batch of 8", "Gaussian noise 0.01"):
        assert results.get("tokens_recovered", defense=defense).values.tolist() == [0, 0]
        assert results.get("refused", defense=defense).values.tolist() == [1, 1]
    frame = pl.read_parquet(run[0] / "updates.parquet")
    reasons = frame.filter(pl.col("defense") != "no defense")["refusal"]
    assert reasons.str.contains("too many tokens, or the gradient is noisy").all()
    page = (run[0] / "report.html").read_text()
    assert any(f"“{text[:-1]}”" in page for text in TEXTS)
    for verdict in ("dager_recovers_texts", "dager_ends_at_the_width", "noise_stops_dager"):
        assert verdict in (run[0] / "claims.json").read_text()


def test_what_counts_for_the_rank_are_different_beginnings():
    texts = np.array([[1, 2, 3], [1, 2, 4], [2, 2, 3]])
    assert different_beginnings(texts) == 2 + 2 + 3


def test_agreement_counts_tokens_in_their_place():
    texts, found = np.array([[1, 2, 3, 4]]), np.array([[1, 2, 3, 4], [1, 9, 3, 9], [4, 3, 2, 1]])
    np.testing.assert_array_equal(agreement(texts, found), [[1, 0.5, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--defenses precode", "'precode' puts a bottleneck before a layer"),
        ("--context 6 --defenses nothing", "unknown defense 'nothing'"),
        ("--width 30", "--width 30 must be a multiple of --heads 4"),
        ("--context 100 --width 32", "--context 100: no text of"),
        ("--context 6 --updates 50", "--updates 50 need 200 texts under one of the defenses"),
        ("--context 6 --num-texts 25", "num_texts=25 but"),
    ],
)
def test_wrong_input(arguments, message, texts, tmp_path, capsys):
    out = tmp_path / "out"
    given = f"--texts {texts} --num-texts {len(TEXTS)} --defenses none {arguments}".split()
    command = ["invert_texts", *given, "--out", str(out)]
    assert main(command) == USER_ERROR
    assert message in capsys.readouterr().err
    assert not out.exists()
