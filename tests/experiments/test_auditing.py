"""The `audit` job: its card, policies, and auditing every k-th step."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import polars as pl
import pytest
from rich.console import Console

import gujax
from experiments.framework.command_line import main
from experiments.framework.errors import UserError
from experiments.framework.results import Results
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.audit.analysis import limited
from experiments.jobs.audit.measure import extremes, totals
from experiments.jobs.audit.monitor import Monitor, sparkline
from experiments.jobs.audit.options import Options
from experiments.jobs.audit.published import Published, held_out, predict, train_again
from experiments.membership.every import audit_every
from experiments.membership.history import History
from experiments.membership.policy import PUBLISHED, Rule, check_policy, parse_policy
from experiments.membership.release import VIOLATED
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import load_task
from gujax.uniqueness import Ledger
from tests.experiments.running import check_files

BATCH, EXAMPLES = 4, 10


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    out = tmp_path_factory.mktemp("audit") / "run"
    command = "audit --train-size 100 --epochs 2 --hidden 8 --defense gate --gate-quantile 0.8"
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        code = main([*command.split(), "--policy", "max_nats=0.01,max_mu=1e9", "--out", str(out)])
    return out, code, stdout.getvalue()


def test_a_violated_policy_is_an_exit_code_a_verdict_and_a_sentence(card):
    out, code, text = card
    assert code == VIOLATED
    check_files(out, "card.html", "card.json", "epochs.parquet", "per_example.parquet", "pictures")
    content, page = json.loads((out / "card.json").read_text()), (out / "card.html").read_text()
    assert content["verdict"] == "Do not release: the policy is violated (max_nats)."
    assert [finding["holds"] for finding in content["policy"]] == [False, True]
    assert content["verdict"] in page
    assert all(assumption.split("'")[0] in page for assumption in content["assumptions"])
    assert "gate q=0.8" in page  # an option of earlier versions still tells the strength
    assert "Policy max_nats ≤ 0.01 is VIOLATED" in text
    assert f"release card: {out / 'card.html'}" in text


def test_numbers_of_the_card_follow_from_the_examples(card):
    out, _, _ = card
    results = Results.read(out / "results.parquet")
    examples = pl.read_parquet(out / "per_example.parquet")
    epochs = pl.read_parquet(out / "epochs.parquet")
    content = json.loads((out / "card.json").read_text())
    headline = json.loads((out / "summary.json").read_text())["headline"]
    assert results.get("max_nats").mean == examples["nats"].max()
    assert results.get("mean_nats").mean == pytest.approx(examples["nats"].mean())
    assert results.get("test_accuracy").mean == epochs["test_accuracy"][-1]
    for name, value in limited(examples).items():
        assert results.get(name).mean == value
        assert content["measures"][name] == headline[name] == value
    median = results.get("mu", quantile=0.5).mean
    assert median == pytest.approx(examples["mu"].median())
    for (label,), row in results.groups("label"):
        of_class = examples.filter(pl.col("label") == int(label))
        assert row.get("examples").mean == len(of_class)
        assert row.get("max_nats").mean == of_class["nats"].max()


def test_both_attackers_are_on_the_card(card):
    out, _, _ = card
    content, page = json.loads((out / "card.json").read_text()), (out / "card.html").read_text()
    assert page.index("Sees the published model") < page.index("Sees every update")
    found = content["published_model"]
    assert found["members"] == 100
    assert found["deviation_from"] == "rerun"
    examples = pl.read_parquet(out / "per_example.parquet")
    results = Results.read(out / "results.parquet")
    update = results.get("example_auc", attacker="sees every update", end="mean").mean
    assert update == pytest.approx(results.get("predicted_auc").mean, rel=1e-5)
    if found["calibrated"]:
        assert examples["predicted_auc"].max() == pytest.approx(found["most_exposed_auc"]["mean"])
        assert content["measures"]["max_predicted_auc"] == found["auc"]["high"]
    else:
        assert examples["predicted_auc"].is_nan().all()
        assert content["measures"]["max_predicted_auc"] is None
        assert found["unsafe"][0].split("'")[0] in page


class TestPublished:
    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls):
        """A task on which an attack finds much: noisy labels learned by heart."""
        task = load_task("digits", "mlp", (64,), train_size=300)
        train = task.dataset.train
        y = np.random.default_rng(0).permutation(train.y)
        task = replace(task, dataset=replace(task.dataset, train=replace(train, y=y)))
        test = task.dataset.test
        test = replace(test, y=np.random.default_rng(1).permutation(test.y))
        task = replace(task, dataset=replace(task.dataset, test=test))
        recipe = replace(load_recipes("digits", None).find("sgd", None), epochs=15)
        options = Options()
        outside = held_out(task)
        params, mask = train_again(options, task, recipe, outside)
        # What it was trained on are the members; the others are held out.
        both = np.concatenate([task.dataset.train.x, outside.x])
        labels = np.concatenate([task.dataset.train.y, outside.y])
        train = replace(train, x=both[mask], y=labels[mask])
        task = replace(task, dataset=replace(task.dataset, train=train))
        outside = type(outside).from_arrays(both[~mask], labels[~mask])
        return options, task, params, outside

    def test_a_rerun_has_as_many_examples_and_another_seed(self, trained):
        _, task, _, outside = trained
        recipe = replace(load_recipes("digits", None).find("sgd", None), epochs=1)
        (one, mask), (other, again) = (
            train_again(Options(seed=seed), task, recipe, outside) for seed in (0, 1)
        )
        assert mask.sum() == again.sum() == len(task.dataset.train)
        assert len(mask) == len(task.dataset.train) + len(outside)
        assert not np.array_equal(mask, again)
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other))
        assert not all(np.array_equal(a, b) for a, b in pairs)

    def test_a_policy_sees_the_upper_ends(self, trained):
        options, task, params, outside = trained
        found = predict(options, task, params, outside, None)
        assert found.assessment.calibrated
        assert found.limited["max_predicted_auc"] == found.assessment.auc.high > 0.6
        columns = found.of_members(300)
        assert columns["predicted_shift"].shape == (300,)
        assert columns["predicted_auc"].max() == found.assessment.most_exposed_auc.mean

    def test_data_that_allow_no_prediction_are_said_in_one_sentence(self, trained):
        options, task, params, outside = trained
        found = predict(options, task, params, outside.prefix(5), None)
        assert found.unsafe == (
            "There is no prediction: held_out has 5 examples; at least 20 are needed.",
        )
        assert np.isnan(list(found.limited.values())).all()
        assert np.isnan(found.of_members(4)["predicted_auc"]).all()

    def test_test_examples_that_were_trained_on_are_no_held_out_ones(self):
        task = load_task("digits", "mlp", (8,), train_size=40)
        train, test = task.dataset.train, task.dataset.test
        test = replace(test, x=np.concatenate([train.x[:3], test.x[3:]]))
        found = held_out(replace(task, dataset=replace(task.dataset, test=test)))
        np.testing.assert_array_equal(found.x, test.x[3:])


def test_a_policy_on_the_published_model_fails_closed():
    nothing = Published(None, ("There is no prediction: too few.",)).limited
    rules = parse_policy(("max_predicted_auc=1,max_predicted_tpr_1pct=1",))
    for finding in check_policy(rules, nothing):
        assert not finding.holds
        assert str(finding).endswith("is VIOLATED: there is no prediction to rely on.")
    assert set(nothing) == set(PUBLISHED)


def test_pictures_are_of_the_examples_whose_ids_they_bear(tmp_path):
    task = load_task("digits", "mlp", (8,), train_size=40)
    train = task.dataset.train
    ids = np.arange(1000, 1040, dtype=np.int32)[::-1].copy()  # no example stands at its id
    dataset = replace(task.dataset, train=replace(train, ids=ids))
    ledger = Ledger(*(jnp.arange(40.0) for _ in Ledger._fields))
    with RunDirectory(tmp_path / "run", {}) as directory:
        table = totals(replace(task, dataset=dataset), ledger, 1)
        (path, caption), *_ = extremes(directory, replace(task, dataset=dataset), table)["Most"]
        shown = matplotlib.image.imread(path)[..., 0]
    assert caption.startswith(f"{train.y[39]} · id 1000 · 39 nats")
    expected = np.kron(train.x[39, ..., 0], np.ones((14, 14)))
    np.testing.assert_allclose(shown, expected, atol=1 / 254)


def test_the_monitor_names_the_most_exposed_by_id():
    drawn = []
    live = SimpleNamespace(update=lambda group: drawn.extend(group.renderables))
    ids, nats = np.array([70, 80, 90]), np.array([0.1, 0.3, 0.2])
    Monitor(Console(), 1, ids, live).show(0, 1.0, 0.5, 0.5, nats)
    assert "ids: 80 (0.30), 90 (0.20), 70 (0.10)" in [str(line) for line in drawn]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"policy": ("nats=1",)}, "unknown measure; choose from max_nats"),
        ({"audit_every": 0}, "--audit-every 0 must be at least 1"),
        ({"audit_every": 2, "defense": "gate:0.9"}, "gate defense measures every step anyway"),
        ({"defense": "censor:0.1"}, "--defense censor removes examples by the ledgers of other"),
        ({"defense": "out_of_fold:0.1"}, "--defense out_of_fold trains on labels of other models"),
        ({"defense": "fence"}, "unknown defense 'fence'"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"defense": "gate:1.5"}, "'gate:1.5' must be above 0 and at most 1"),
        ({"defense": "gate", "gate_quantile": (1.5,)}, "--gate-quantile 1.5 must be"),
        ({"epsilon": (0.0,)}, "--epsilon 0.0 must be positive"),
        ({"relative_ridge": 0.0}, "--relative-ridge 0.0 must be positive"),
        ({"delta": 1.0}, "--delta 1.0 must be between 0 and 1"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(wrong, message):
    with pytest.raises(UserError, match=message):
        Options(**wrong)


def test_dp_sgd_without_a_strength_is_that_of_earlier_versions():
    assert Options(defense="dp_sgd").trained_under.epsilon == 8
    assert Options(defense="dp_sgd", epsilon=(3.0,)).trained_under.epsilon == 3
    assert Options(defense="dp_sgd:2").trained_under.epsilon == 2


def test_policies_may_be_joined_or_repeated():
    rules = parse_policy(("max_nats=0.5, max_mu=2", "max_mu=1e-1"))
    assert rules == (Rule("max_nats", 0.5), Rule("max_mu", 2.0), Rule("max_mu", 0.1))


@pytest.mark.parametrize("text", ["max_nat=1", "max_nats", "max_nats=", "max_nats=few", "", "=1"])
def test_bad_policies_are_named(text):
    with pytest.raises(UserError, match="--policy"):
        parse_policy((text,))


def test_a_limit_itself_is_allowed_and_nan_is_not():
    rules = (Rule("max_nats", 0.5), Rule("max_mu", 1.0))
    equal, undefined = check_policy(rules, {"max_nats": 0.5, "max_mu": float("nan")})
    assert equal.holds
    assert not undefined.holds


def test_sparkline_shows_even_one_outlier():
    line = sparkline(np.concatenate([np.zeros(1000), [1.0]]), bins=10)
    assert line[0] == "█"
    assert line[-1] != " "
    assert set(line[1:-1]) == {" "}


def test_every_kth_step_is_audited_and_updates_do_not_change():
    def loss_fn(params, example):
        return jnp.square(params @ example)

    grads_fn = gujax.per_example_grads(loss_fn)
    batches = jax.random.normal(jax.random.key(0), (6, BATCH, 3))
    ids = jnp.arange(BATCH)
    measured = gujax.transforms.mean(ridge=1.0, batch_size=BATCH, num_examples=EXAMPLES)
    every = audit_every(3, gujax.transforms.mean(batch_size=BATCH), measured)

    def run(transform, audited_steps):
        optimizer = optax.chain(transform, optax.sgd(0.1))
        params, state = jnp.ones(3), optimizer.init(jnp.ones(3))
        nats = np.zeros(EXAMPLES)
        for step, batch in enumerate(batches):
            grads = grads_fn(params, batch)
            if step in audited_steps:
                gnq = gujax.uniqueness(gujax.gram(grads), ridge=1.0)
                nats[:BATCH] += gujax.disclosure_bound(gnq)
            updates, state = optimizer.update(grads, state, params, example_ids=ids)
            params = optax.apply_updates(params, updates)
        return params, state[0], nats

    params, state, nats = run(every, audited_steps=(0, 3))
    expected_params, _, _ = run(measured, audited_steps=())
    np.testing.assert_allclose(params, expected_params, rtol=1e-6)
    np.testing.assert_allclose(state.ledger.nats, nats, rtol=1e-5)
    np.testing.assert_array_equal(state.ledger.steps[:BATCH], 2)


def test_the_history_of_an_interrupted_run_has_every_epoch_once(tmp_path):
    path = tmp_path / "checkpoints" / "history.jsonl"
    history = History(path)
    for epoch in range(4):
        history.add(epoch, {"loss": 0.1 / (epoch + 1), "nats": float("nan")})
    with path.open("a") as file:
        file.write('{"epoch": 5, "lo')
    again = History(path)  # the last checkpoint was written after two epochs
    again.add(2, {"loss": 0.1 / 3, "nats": 1.0})
    again.add(3, {"loss": 0.1 / 4, "nats": 1.0})
    again = History(path)
    assert again.table()["epoch"].to_list() == [1, 2, 3, 4]
    assert again.table()["loss"].to_list() == [0.1, 0.1 / 2, 0.1 / 3, 0.1 / 4]
