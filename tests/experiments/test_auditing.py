"""Parts of the `audit` job: policies, and auditing every k-th step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gujax
from experiments.framework.errors import UserError
from experiments.jobs.audit.history import History
from experiments.jobs.audit.monitor import sparkline
from experiments.jobs.audit.policy import Rule, check_policy, parse_policy
from experiments.membership.every import audit_every

MEASURES = ("max_nats", "max_mu")
BATCH, EXAMPLES = 4, 10


def test_policies_may_be_joined_or_repeated():
    rules = parse_policy(("max_nats=0.5, max_mu=2", "max_mu=1e-1"), MEASURES)
    assert rules == (Rule("max_nats", 0.5), Rule("max_mu", 2.0), Rule("max_mu", 0.1))


@pytest.mark.parametrize("text", ["max_nat=1", "max_nats", "max_nats=", "max_nats=few", "", "=1"])
def test_bad_policies_are_named(text):
    with pytest.raises(UserError, match="--policy"):
        parse_policy((text,), MEASURES)


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
