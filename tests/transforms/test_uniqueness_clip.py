from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gujax.transforms import mean, uniqueness_clip
from tests.transforms import reference as ref


def step(clip, rows, params=ref.PARAMS, **kwargs):
    return jax.jit(clip.update)(ref.unflatten(rows), clip.init(params), params, **kwargs)


def largest_scales(G, ridge, cap, mask):
    """Fixed point of p = min(1, cap / q(p)) from above, in float64, far past convergence."""
    p = mask.astype(float)
    for _ in range(20_000):
        values = ref.gnq(G * np.sqrt(p)[:, None], ridge, mask)
        new = np.where(mask, np.minimum(1, p * cap / np.maximum(values, 1e-300)), 0)
        if np.allclose(new, p, rtol=1e-10, atol=0):
            break
        p = new
    return np.sqrt(p)


@partial(jax.jit, static_argnums=1)  # the cap is traced: one compilation per ridge
def masked_step(cap, fraction, grads, mask):
    clip = uniqueness_clip(cap, relative_ridge=fraction)
    return clip.update(grads, clip.init(ref.PARAMS), mask=mask)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    examples=st.sampled_from([0, 1, 2, 9, 24]),
    cap=st.floats(0.01, 10),
    fraction=st.sampled_from([1e-2, 0.1, 1.0]),
    spread=st.sampled_from([0.0, 1.0, 4.0]),
)
def test_no_released_uniqueness_exceeds_the_cap(seed, examples, cap, fraction, spread):
    rows = ref.random_rows(seed, 24, spread)
    mask = np.random.default_rng(seed).permutation(24) < examples
    updates, state = masked_step(cap, fraction, ref.unflatten(rows), mask)

    scales = np.asarray(state.weights, np.float64)
    ridge = ref.relative(rows, fraction, mask) if mask.any() else 1.0
    released = ref.gnq(rows * scales[:, None], ridge, mask)
    # Exact but for the rounding of a float32 solve at a ridge of at least 1 %: 1e-3 is ample.
    assert released.max(initial=0) <= cap * (1 + 1e-3)
    assert (scales >= 0).all()
    assert (scales <= 1).all()
    assert (scales[~mask] == 0).all()
    expected = (rows * scales[:, None]).sum(0) / max(mask.sum(), 1)
    size = np.abs(rows).max(initial=1e-9)
    np.testing.assert_allclose(ref.flatten(updates), expected, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize("cap", [0.1, 0.5, 2.0])
def test_scales_are_the_largest_that_satisfy_the_cap(cap):
    rows = ref.random_rows(11, 16, spread=1.0)
    _, state = step(uniqueness_clip(cap, relative_ridge=0.1), rows)
    best = largest_scales(rows, ref.relative(rows, 0.1), cap, np.ones(16, bool))
    scales = np.asarray(state.weights)
    assert (scales <= best * (1 + 1e-3)).all()
    # The loop stops once every clipped example is within 1 % of the cap.
    np.testing.assert_allclose(scales, best, rtol=0.05)


def test_batch_within_the_cap_is_averaged_unchanged():
    rows = ref.random_rows(2, 16)
    expected, _ = step(mean(), rows)
    updates, state = step(uniqueness_clip(1e4, relative_ridge=0.1), rows)
    np.testing.assert_array_equal(state.weights, np.ones(16))
    np.testing.assert_array_equal(ref.flatten(updates), ref.flatten(expected))


def test_ledger_is_charged_at_most_the_cap():
    rows = ref.random_rows(4, 16)
    clip = uniqueness_clip(0.3, relative_ridge=0.1, num_examples=16)
    _, state = step(clip, rows, example_ids=np.arange(16))
    released = ref.gnq(rows * np.asarray(state.weights, float)[:, None], ref.relative(rows, 0.1))
    np.testing.assert_allclose(state.ledger.nats, ref.nats(released), rtol=1e-3)
    assert (np.asarray(state.ledger.nats) <= np.log1p(0.3) / 2 * (1 + 1e-3)).all()
    np.testing.assert_allclose(state.uniqueness, ref.gnq(rows, ref.relative(rows, 0.1)), rtol=1e-3)


def test_zero_gradients_and_norms_from_tiny_to_huge():
    rows = ref.random_rows(6, 12)
    rows[0] = 0
    rows[1] *= 1e6
    rows[2] *= 1e-6
    _, state = step(uniqueness_clip(0.5, ridge=1.0), rows)
    scales = np.asarray(state.weights, np.float64)
    assert scales[0] == 1
    assert (scales > 0).all()
    assert ref.gnq(rows * scales[:, None], 1.0).max() <= 0.5 * (1 + 1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cap": 1.0}, "needs one of them positive"),
        ({"cap": 0.0, "ridge": 1.0}, "cap"),
        ({"cap": 1.0, "ridge": 1.0, "relative_ridge": 1.0}, "one of the two"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        uniqueness_clip(**arguments)
