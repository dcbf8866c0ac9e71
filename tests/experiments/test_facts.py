"""The `facts` job: its statements, sets and AUC, its run, what it refuses."""

import sys
from dataclasses import replace

import jax
import numpy as np
import optax
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from experiments.framework.command_line import main
from experiments.framework.errors import UserError
from experiments.framework.results import Results
from experiments.jobs.facts.analysis import auc, sets_of
from experiments.jobs.facts.measure import prepare
from experiments.jobs.facts.options import Options
from experiments.jobs.facts.statements import swapped
from experiments.tasks.language import layer_groups, load_language_model, whole_text_loss
from gujax import data
from tests.experiments.running import check_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Statements whose length alone tells them apart, but for a few."""
    rng, place = np.random.default_rng(0), tmp_path_factory.mktemp("statements")
    for name, low in (("true", 8), ("made_up", 9)):
        lines = [
            "".join(rng.choice(list("abcdefg"), rng.integers(low, low + 4))) for _ in range(40)
        ]
        (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("facts") / "run"
    options = {"model": "tiny", "checkpoints": "earlier", "facts": folder, "num-facts": 8}
    options |= {"seeds": 2, "block-size": 16, "layer-parts": 2, "made-up": "0.5 0.125"}
    words = [w for name, v in options.items() for w in (f"--{name}", *str(v).split())]
    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules[prepare.__module__]  # the package has a function of its name
        patch.setattr(module, "_SAME_LENGTH", 64)  # one program, not one for every length
        patch.setattr(module, "load_language_model", checkpoint)
        assert main(["facts", *words, "--out", str(out)]) == 0
    return out


def checkpoint(name):
    """The tiny model, or the same after other training."""
    tiny = load_language_model("tiny")
    return tiny if name == "tiny" else replace(tiny, params=tiny.model.init(jax.random.key(1)))


def test_gradients_are_summed_over_checkpoints_and_losses_are_not(run):
    row = pl.read_parquet(run / "statements.parquet").row(5, named=True)
    lms = [checkpoint("tiny"), checkpoint("earlier")]
    (tokens,) = data.tokenize([row["statement"]], lms[0].tokenizer, 128).tokens
    loss = whole_text_loss(lms[0].model)
    losses, gradients = zip(*(jax.value_and_grad(loss)(lm.params, tokens) for lm in lms))
    assert row["loss"] == pytest.approx(float(losses[0]), rel=1e-5)
    squared = [optax.tree.norm(gradient, squared=True) for gradient in gradients]
    assert row["squared_norm"] == pytest.approx(float(sum(squared)), rel=1e-4)
    assert "sums over 2 checkpoints" in (run / "report.html").read_text().replace("\n", " ")


def test_another_architecture_is_no_checkpoint_of_the_model(monkeypatch):
    tiny = load_language_model("tiny")
    other = replace(tiny, config=replace(tiny.config, layers=3))
    module = sys.modules[prepare.__module__]
    monkeypatch.setattr(
        module, "load_language_model", lambda name: tiny if name == "tiny" else other
    )
    for name in ("other", "tiny"):
        with pytest.raises(UserError, match=f"--checkpoints {name} must be another checkpoint"):
            prepare(Options(model="tiny", checkpoints=(name,)))


def test_the_run_shows_what_length_tells(run):
    check_files(run, "report.html", "claims.json", "statements.parquet")
    rows = pl.read_parquet(run / "statements.parquet")
    results = Results.read(run / "results.parquet")
    found = results.where(source="folder", loss="mean", made_up=0.5)
    by_length = found.get("auc", pairs="all", score="tokens").mean
    assert by_length > 0.6
    assert found.get("auc", pairs="same length", score="tokens").mean == 0.5
    of_seed = rows.filter(source="swapped", seed=1)
    assert len(of_seed) == 16
    shares = results.where(source="swapped", loss="sum")
    groups = shares.values("group")
    assert set(groups) == {"layer 1", "layer 2", "norms", "embeddings"}
    assert sum(shares.get("share_of_squared_norm", group=g).mean for g in groups) == pytest.approx(
        1
    )
    page = (run / "report.html").read_text()
    assert of_seed["statement"][0].split()[0] in page or rows["statement"][0] in page


def test_falsehoods_say_what_is_said_of_another():
    facts = swapped(0)
    assert len(set(facts.true)) == len(facts) >= 150
    assert not set(facts.true) & set(facts.made_up)
    for true, made_up in zip(facts.true, facts.made_up):
        assert true.split()[:2] == made_up.split()[:2]
    words = [sorted(" ".join(side).split()) for side in facts]
    assert words[0] == words[1]  # nothing but the order of the words tells them apart
    assert swapped(0) == facts != swapped(1)


@pytest.mark.parametrize(("share", "count"), [(0.5, 6), (0.25, 3), (0.08, 1)])
def test_sets_hold_every_fact_once_and_the_share_that_was_asked_for(share, count):
    places, made_up = sets_of(12, share, seed=3)
    assert (made_up.sum(axis=1) == count).all()
    np.testing.assert_array_equal(places % 12, np.arange(12) + np.zeros_like(places))
    np.testing.assert_array_equal(places >= 12, made_up)
    assert len(set(made_up.sum(axis=0))) == 1  # 12 is a multiple of each count


def test_auc_is_that_of_scikit_learn_and_counts_the_pairs_it_is_told():
    rng = np.random.default_rng(0)
    scores, made_up = rng.integers(0, 6, (1, 30)).astype(float), rng.random((1, 30)) < 0.4
    assert auc(scores, made_up) == pytest.approx(roc_auc_score(made_up[0], scores[0]))
    shift = 100.0 * np.arange(30)[None] % 3  # of three lengths, which scores follow
    same = shift[:, :, None] == shift[:, None, :]
    within = auc(scores + shift, made_up, same)
    wins = [
        stats.mannwhitneyu(
            scores[0][made_up[0] & (shift[0] == s)], scores[0][~made_up[0] & (shift[0] == s)]
        ).statistic
        for s in np.unique(shift)
    ]
    pairs = (made_up[:, :, None] & ~made_up[:, None, :] & same).sum()
    assert within == pytest.approx(sum(wins) / pairs)
    assert np.isnan(auc(scores, np.zeros((1, 30), bool)))


def test_layers_are_cut_into_runs():
    group_of = layer_groups(30, 6)
    assert group_of("blocks/4/queries/kernel") == "layers 1 to 5"
    assert group_of("blocks/29/gate/kernel") == "layers 26 to 30"
    assert group_of("blocks/7/attention_norm/scale") == group_of("norm/scale") == "norms"
    assert group_of("tokens/embedding") == group_of("output/kernel") == "embeddings"
    assert layer_groups(2, 5)("blocks/1/gate/kernel") == "layer 2"
    names = {layer_groups(7, 3)(f"blocks/{k}/x") for k in range(7)}
    assert names == {"layers 1 to 2", "layers 3 to 4", "layers 5 to 7"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_facts": 99}, "--num-facts 99 and --seeds 3 ask for 297; ask for fewer"),
        ({"made_up": (0.01,)}, "--made-up 0.01 of --num-facts 50 leaves no statement"),
        ({"model": "nowhere"}, "--model nowhere: there is no such file or folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(options, message):
    with pytest.raises(UserError, match=message):
        prepare(Options(**({"model": "tiny"} | options)))


def test_a_folder_without_statements(tmp_path):
    with pytest.raises(UserError, match=r"there is no true\.txt in it"):
        prepare(Options(model="tiny", facts=tmp_path))
    (tmp_path / "true.txt").write_text("one\n\ntwo\n")
    with pytest.raises(UserError, match="is empty; leave it out"):
        prepare(Options(model="tiny", facts=tmp_path))
