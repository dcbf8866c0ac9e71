"""The state has one shape from `init` on: for checkpoints, loops and compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from gujax import transforms
from tests.transforms import reference as ref
from tests.transforms.test_aggregation import MAKE, B, N, every_transform, inputs


def chain(name, **sizes):
    if name == "budget":  # has no rule without a ledger
        sizes.setdefault("num_examples", N)
    return optax.chain(MAKE[name](**sizes), optax.adam(1e-3))


def stepped(optimizer):
    @jax.jit
    def step(params, state, rows, kwargs):
        updates, state = optimizer.update(ref.unflatten(rows), state, params, **kwargs)
        return optax.apply_updates(params, updates), state

    return step


SIZES = pytest.mark.parametrize(
    "sizes",
    [{}, {"num_examples": N}, {"num_examples": N, "batch_size": B}],
    ids=["no sizes", "a ledger", "a ledger and a batch size"],
)


@every_transform
@SIZES
def test_a_program_is_compiled_once_and_ahead_of_time(name, sizes):
    optimizer = chain(name, **sizes)
    params = jax.tree.map(jnp.asarray, ref.PARAMS)
    rows, kwargs = inputs()
    state = optimizer.init(params)
    compiled = stepped(optimizer).lower(params, state, rows, kwargs).compile()
    once, state_once = compiled(params, state, rows, kwargs)
    _, state_twice = compiled(once, state_once, rows, kwargs)
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, state_twice)
    assert jax.tree.structure(state) == jax.tree.structure(state_twice)


@every_transform
@pytest.mark.parametrize("sizes", [{}], ids=["no sizes"])  # others keep the shape, see above
def test_a_loop_carries_it(name, sizes):
    optimizer = chain(name, **sizes)
    params = jax.tree.map(jnp.asarray, ref.PARAMS)
    rows, kwargs = inputs()
    step = stepped(optimizer)

    def body(_, carry):
        return step(*carry, rows, kwargs)

    looped = jax.lax.fori_loop(0, 2, body, (params, optimizer.init(params)))
    by_hand = step(*step(params, optimizer.init(params), rows, kwargs), rows, kwargs)
    np.testing.assert_allclose(ref.flatten(looped[0]), ref.flatten(by_hand[0]), rtol=1e-5)


@every_transform
def test_orbax_saves_and_restores_it(name, tmp_path):
    """The chain of the README, without sizes; what `init` returns is what one restores into."""
    optimizer = chain(name, num_examples=N)
    params = jax.tree.map(jnp.asarray, ref.PARAMS)
    rows, kwargs = inputs()
    first = optimizer.init(params)
    step = stepped(optimizer)
    params, second = step(params, first, rows, kwargs)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "first", first)
        checkpointer.save(tmp_path / "second", second)
        checkpointer.wait_until_finished()
        checkpointer.restore(tmp_path / "first", first)
        restored = checkpointer.restore(tmp_path / "second", first)
    expected, _ = step(params, second, rows, kwargs)
    found, _ = step(params, restored, rows, kwargs)
    np.testing.assert_array_equal(ref.flatten(found), ref.flatten(expected))
    assert restored[0].weights.shape == second[0].weights.shape


@every_transform
def test_a_state_of_numpy_arrays(name):
    optimizer = MAKE[name](num_examples=N)

    def as_numpy(x):
        return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)

    rows, kwargs = inputs()
    _, state = optimizer.update(ref.unflatten(rows), optimizer.init(ref.PARAMS), **kwargs)
    found, _ = optimizer.update(
        ref.unflatten(rows), jax.tree.map(as_numpy, state), ref.PARAMS, **kwargs
    )
    expected, _ = optimizer.update(ref.unflatten(rows), state, ref.PARAMS, **kwargs)
    np.testing.assert_array_equal(ref.flatten(found), ref.flatten(expected))


def test_batches_of_any_size_share_a_state_of_slots():
    gate = transforms.uniqueness_gate(quantile=0.5, relative_ridge=0.1)
    rows, _ = inputs()
    state = gate.init(ref.PARAMS)
    for size in (B, 3, B):
        _, state = gate.update(ref.unflatten(rows[:size]), state, ref.PARAMS)
        assert state.weights.shape == state.uniqueness.shape == (size,)
    too_many = {"w": np.ones((5000, 2)), "b": np.ones((5000, 1))}
    with pytest.raises(ValueError, match="batch_size=5000"):
        gate.update(too_many, state)


def test_slots_are_not_mistaken_for_examples():
    gate = transforms.uniqueness_gate(quantile=0.5, relative_ridge=0.1)
    rows, _ = inputs()
    _, state = gate.update(ref.unflatten(rows), gate.init(ref.PARAMS), ref.PARAMS)
    with pytest.raises(ValueError, match="batch_size="):
        jax.jit(lambda state: jnp.sum(state.weights))(state)
