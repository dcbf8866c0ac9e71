"""What holds for every transformation alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.gradients import per_example_grads
from gujax.transforms import (
    disclosure_budget,
    dp_sgd,
    mean,
    uniqueness_clip,
    uniqueness_gate,
)
from tests.transforms import reference as ref

N, B = 30, 12
KEY = jax.random.key(0)
MAKE = {
    "mean": lambda **common: mean(relative_ridge=0.1, **common),
    "gate": lambda **common: uniqueness_gate(quantile=0.8, relative_ridge=0.1, **common),
    "clip": lambda **common: uniqueness_clip(0.5, relative_ridge=0.1, **common),
    "budget": lambda **common: disclosure_budget(0.6, relative_ridge=0.5, **common),
    "dp_sgd": lambda **common: dp_sgd(1.0, 0.5, B, KEY, **common),
}
every_transform = pytest.mark.parametrize("name", MAKE)


def inputs(seed=0, batch=B):
    rng = np.random.default_rng(seed)
    rows = ref.random_rows(seed, batch)
    return rows, {"example_ids": rng.permutation(N)[:batch], "mask": np.arange(batch) != 3}


@every_transform
def test_dense_and_factored_gradients_give_the_same(name):
    def loss_fn(params, example):
        x, y = example
        return jnp.sum((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)

    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), ref.PARAMS)
    batch = tuple(rng.normal(size=(B, d)).astype(np.float32) for d in (4, 2))
    transform = MAKE[name](num_examples=N)
    state = transform.init(params)
    _, kwargs = inputs()
    dense, factored = (
        transform.update(per_example_grads(loss_fn, method=method)(params, batch), state, **kwargs)
        for method in ("dense", "factored")
    )
    for a, b in zip(jax.tree.leaves(dense), jax.tree.leaves(factored), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


@every_transform
def test_padded_examples_change_nothing(name):
    rows, kwargs = inputs()
    keep = kwargs["mask"]
    transform = MAKE[name](num_examples=N)
    state = transform.init(ref.PARAMS)
    padded, new = transform.update(ref.unflatten(rows), state, **kwargs)
    alone, expected = transform.update(
        ref.unflatten(rows[keep]), state, example_ids=kwargs["example_ids"][keep]
    )
    np.testing.assert_allclose(ref.flatten(padded), ref.flatten(alone), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(new.ledger.nats, expected.ledger.nats, rtol=1e-4)
    assert new.weights[3] == 0
    assert new.uniqueness[3] == 0


@every_transform
def test_scan_equals_a_loop_of_steps(name):
    transform = MAKE[name](num_examples=N, batch_size=B)
    steps = [inputs(seed) for seed in range(3)]
    state = transform.init(ref.PARAMS)
    for rows, kwargs in steps:
        updates, state = transform.update(ref.unflatten(rows), state, **kwargs)

    def body(state, step):
        rows, kwargs = step
        updates, state = transform.update(ref.unflatten(rows), state, **kwargs)
        return state, updates

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *steps)
    scanned, all_updates = jax.jit(lambda s, x: jax.lax.scan(body, s, x))(
        transform.init(ref.PARAMS), stacked
    )
    last = jax.tree.map(lambda leaf: leaf[-1], all_updates)
    np.testing.assert_allclose(ref.flatten(last), ref.flatten(updates), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scanned.ledger.nats, state.ledger.nats, rtol=1e-4)


@every_transform
def test_state_keeps_its_types_in_float64(name):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(np.float64), ref.PARAMS)
        transform = MAKE[name](num_examples=N, batch_size=B)
        rows, kwargs = inputs()
        state = transform.init(params)
        updates, new = transform.update(ref.unflatten(rows.astype(np.float64)), state, **kwargs)

        def types(tree):
            return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

        assert types(new) == types(state)
        assert new.uniqueness.dtype == np.float64
        assert types(updates) == types(params)


@every_transform
def test_vmap_over_models_equals_one_after_another(name):
    models = [inputs(seed) for seed in range(3)]
    rows = np.stack([rows for rows, _ in models])
    ids = np.stack([kwargs["example_ids"] for _, kwargs in models])
    keys = jax.random.split(KEY, 3)

    def step(key, rows, ids):
        # The key is traced: a transformation may be built inside the vmapped function.
        make = MAKE[name] if name != "dp_sgd" else lambda **c: dp_sgd(1.0, 0.5, B, key, **c)
        transform = make(num_examples=N, batch_size=B)
        updates, state = transform.update(
            ref.unflatten(rows), transform.init(ref.PARAMS), example_ids=ids
        )
        return updates, state.ledger, state.weights

    together = jax.jit(jax.vmap(step))(keys, rows, ids)
    for i in range(3):
        alone = step(keys[i], rows[i], ids[i])
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-3, atol=1e-5)


@every_transform
def test_a_gradient_that_is_not_finite_poisons_the_update_and_is_not_charged(name):
    rows, kwargs = inputs()
    rows[0, 9] = np.nan  # in leaf b only; leaf w of every example is finite
    transform = MAKE[name](num_examples=N, batch_size=B)
    state = transform.init(ref.PARAMS)
    updates, new = jax.jit(transform.update)(ref.unflatten(rows), state, **kwargs)
    assert np.isnan(ref.flatten(updates)).all()
    assert np.isnan(new.weights[kwargs["mask"]]).all()
    for before, after in zip(state.ledger, new.ledger, strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="NaN"):
        transform.update(ref.unflatten(rows), state, **kwargs)


@every_transform
def test_unknown_extra_arguments_are_ignored(name):
    rows, kwargs = inputs()
    transform = MAKE[name](num_examples=N)
    transform.update(ref.unflatten(rows), transform.init(ref.PARAMS), None, value=1.0, **kwargs)


@every_transform
def test_donating_the_state_leaves_the_constructor_usable(name):
    rows, kwargs = inputs()
    transform = MAKE[name](num_examples=N, batch_size=B)
    update = jax.jit(transform.update, donate_argnums=1)
    for _ in range(2):
        state = transform.init(ref.PARAMS)
        for _ in range(2):
            _, state = update(ref.unflatten(rows), state, **kwargs)


@every_transform
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"example_ids": None}, "example_ids is missing"),
        ({"example_ids": np.arange(3)}, r"example_ids has shape \(3,\)"),
        ({"example_ids": np.arange(B) + N - 3}, "example_ids holds 31"),
        ({"mask": np.ones((B, 1), bool)}, r"mask has shape \(12, 1\)"),
    ],
)
def test_bad_calls_are_named(name, change, message):
    rows, kwargs = inputs()
    transform = MAKE[name](num_examples=N)
    with pytest.raises(ValueError, match=message):
        transform.update(ref.unflatten(rows), transform.init(ref.PARAMS), **(kwargs | change))


@every_transform
def test_wrong_batch_size_is_named(name):
    rows, kwargs = inputs()
    transform = MAKE[name](num_examples=N, batch_size=B + 4)
    with pytest.raises(ValueError, match="batch_size=16 but the updates hold 12"):
        transform.update(ref.unflatten(rows), transform.init(ref.PARAMS), **kwargs)


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_sizes_must_be_positive_ints(size):
    with pytest.raises(ValueError, match="batch_size"):
        mean(batch_size=size).init(ref.PARAMS)
    with pytest.raises(ValueError, match="num_examples"):
        mean(num_examples=size).init(ref.PARAMS)
