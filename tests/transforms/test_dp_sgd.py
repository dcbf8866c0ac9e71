import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax_privacy.clipping import clipped_grad
from scipy import stats

from gujax.gradients import per_example_grads
from gujax.transforms import dp_sgd
from tests.transforms import reference as ref

KEY = jax.random.key(0)


def loss_fn(params, example):
    x, y = example
    return jnp.sum((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)


def regression(batch=16):
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), ref.PARAMS)
    x = rng.normal(size=(batch, 4)) * np.exp(rng.normal(size=(batch, 1)))
    return params, (x.astype(np.float32), rng.normal(size=(batch, 2)).astype(np.float32))


@pytest.mark.parametrize("method", ["dense", "factored"])
@pytest.mark.parametrize("clip", [0.1, 1.0, 100.0])
def test_noiseless_step_is_the_clipped_sum_of_jax_privacy(method, clip):
    # jax_privacy's loss takes a batch; it clips the gradients one by one and sums them.
    def batch_loss(p, x, y):
        return jnp.sum(jax.vmap(loss_fn, (None, 0))(p, (x, y)))

    clipped = clipped_grad(batch_loss, l2_clip_norm=clip, batch_argnums=(1, 2))
    with jax.enable_x64(True):
        params, batch = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), regression())
        grads = per_example_grads(loss_fn, method=method)(params, batch)
        transform = dp_sgd(clip, 0.0, expected_batch_size=8.0, key=KEY)
        updates, _ = transform.update(grads, transform.init(params))
        expected = clipped(params, *batch)
    np.testing.assert_allclose(8.0 * ref.flatten(updates), ref.flatten(expected), rtol=1e-6)


def test_noiseless_step_is_that_of_optax():
    rows = ref.random_rows(0, 16)
    ours = dp_sgd(1.5, 0.0, expected_batch_size=16, key=KEY)
    theirs = optax.contrib.differentially_private_aggregate(1.5, 0.0, key=0)
    updates, _ = ours.update(ref.unflatten(rows), ours.init(ref.PARAMS))
    expected, _ = theirs.update(ref.unflatten(rows), theirs.init(ref.PARAMS))
    np.testing.assert_allclose(ref.flatten(updates), ref.flatten(expected), rtol=1e-5, atol=1e-7)


def test_divides_by_the_expected_not_the_realised_batch_size():
    rows = ref.random_rows(1, 16)
    mask = np.arange(16) < 5
    transform = dp_sgd(0.5, 0.0, expected_batch_size=7.5, key=KEY)
    updates, state = transform.update(ref.unflatten(rows), transform.init(ref.PARAMS), mask=mask)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    weights = np.where(mask, np.minimum(1, 0.5 / norms), 0)
    np.testing.assert_allclose(state.weights, weights, rtol=1e-6)
    np.testing.assert_allclose(ref.flatten(updates), weights @ rows / 7.5, rtol=1e-5, atol=1e-7)


def test_noise_has_the_stated_scale_and_independent_coordinates():
    rows = ref.random_rows(2, 4)
    clip, multiplier, expected_size, draws = 0.7, 1.3, 5.0, 4000

    def noisy(key):
        transform = dp_sgd(clip, multiplier, expected_size, key)
        return transform.update(ref.unflatten(rows), transform.init(ref.PARAMS))[0]

    samples = jax.vmap(noisy)(jax.random.split(KEY, draws))
    samples = np.concatenate([samples["w"].reshape(draws, 8), samples["b"]], axis=1)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    centre = (rows * np.minimum(1, clip / norms)).sum(0) / expected_size
    z = (samples - centre) * expected_size / (clip * multiplier)

    # Under the claim: draws·10 standard normals. Two-sided bounds that fail once in a million.
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], z.size)
    assert low < (z**2).sum() < high
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-6
    correlation = np.corrcoef(z.T)[~np.eye(10, dtype=bool)]
    assert np.abs(correlation).max() < stats.norm.isf(5e-7 / 90) / np.sqrt(draws)


def test_noise_differs_between_steps_and_between_leaves():
    transform = dp_sgd(1.0, 1.0, 1.0, KEY)
    params = {"a": jnp.zeros(3), "b": jnp.zeros(3)}
    grads = {"a": jnp.zeros((2, 3)), "b": jnp.zeros((2, 3))}
    first, state = transform.update(grads, transform.init(params))
    second, _ = transform.update(grads, state)
    drawn = np.stack([first["a"], first["b"], second["a"], second["b"]])
    assert len(np.unique(drawn)) == 12


def test_bfloat16_parameters_keep_their_dtype():
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), ref.PARAMS)
    grads = jax.tree.map(
        lambda g: jnp.asarray(g, jnp.bfloat16), ref.unflatten(ref.random_rows(0, 4))
    )
    transform = dp_sgd(1.0, 1.0, 4.0, KEY)
    updates, _ = transform.update(grads, transform.init(params))
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}


def test_ledger_uses_the_ridge_of_the_noise_on_the_clipped_gradients():
    rows = ref.random_rows(3, 16)
    clip, multiplier, p = 0.5, 2.0, 0.3
    transform = dp_sgd(clip, multiplier, 16.0, KEY, inclusion_probability=p, num_examples=16)
    _, state = transform.update(
        ref.unflatten(rows), transform.init(ref.PARAMS), example_ids=np.arange(16)
    )
    ridge = (clip * multiplier) ** 2 / (p * (1 - p))
    clipped = rows * np.minimum(1, clip / np.linalg.norm(rows, axis=1, keepdims=True))
    released = ref.gnq(clipped, ridge)
    np.testing.assert_allclose(state.uniqueness, released, rtol=1e-3)
    np.testing.assert_allclose(state.ledger.nats, ref.nats(released, p), rtol=1e-3)
    np.testing.assert_allclose(state.ledger.mu_squared, released / (p * (1 - p)), rtol=1e-3)


def test_without_noise_the_ledger_is_charged_the_entropy():
    rows = ref.random_rows(3, 6)
    transform = dp_sgd(1.0, 0.0, 6.0, KEY, num_examples=6)
    _, state = transform.update(
        ref.unflatten(rows), transform.init(ref.PARAMS), example_ids=np.arange(6)
    )
    np.testing.assert_allclose(state.ledger.nats, np.log(2), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_gradient_without_a_finite_norm_is_neither_dropped_nor_released(bad):
    rows = ref.random_rows(4, 8)
    rows[2, 3] = bad  # in leaf w; the gradient's other leaf is finite
    transform = dp_sgd(1.0, 1.0, 8.0, KEY)
    updates, state = jax.jit(transform.update)(ref.unflatten(rows), transform.init(ref.PARAMS))
    assert np.isnan(ref.flatten(updates)).all()
    assert np.isnan(state.weights).all()


def test_zero_gradients_are_released_as_they_are():
    transform = dp_sgd(1.0, 0.0, 2.0, KEY)
    zeros = ref.unflatten(np.zeros((2, 10), np.float32))
    updates, state = transform.update(zeros, transform.init(ref.PARAMS))
    np.testing.assert_array_equal(state.weights, [1, 1])
    np.testing.assert_array_equal(ref.flatten(updates), 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("l2_norm_clip", 0.0), ("noise_multiplier", -1.0), ("expected_batch_size", 0.0)],
)
def test_bad_arguments_are_named(name, value):
    arguments = {"l2_norm_clip": 1.0, "noise_multiplier": 1.0, "expected_batch_size": 8, "key": KEY}
    with pytest.raises(ValueError, match=name):
        dp_sgd(**(arguments | {name: value}))
