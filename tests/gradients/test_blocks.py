"""Gram matrices by groups of parameters and by blocks, against dense gradients in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gujax

LENGTHS = (5, 3)  # of the examples in two parts


def loss_fn(params, example, scale):
    """A network over positions; the embedding is used twice."""
    x = params["embedding"][example]
    hidden = jnp.tanh(x @ params["layers"][0] + params["bias"])
    logits = (hidden @ params["layers"][1]) @ params["embedding"].T
    return scale * jnp.sum(jax.nn.logsumexp(logits, axis=-1) - logits[:, 0])


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(0)
    shapes = {"embedding": (7, 4), "layers": [(4, 6), (6, 4)], "bias": (6,)}
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    params = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s), jnp.float32), shapes, is_leaf=is_shape
    )
    parts = [rng.integers(0, 7, (n, t)).astype(np.int32) for n, t in zip((5, 4), LENGTHS)]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda p: jnp.asarray(np.asarray(p), jnp.float64), params)
        dense = [jax.grad(loss_fn)(wide, jnp.asarray(row), 2.0) for part in parts for row in part]
        names = [
            jax.tree_util.keystr(path, simple=True, separator="/")
            for path, _ in jax.tree.leaves_with_path(params)
        ]
        rows = {
            name: np.stack([np.asarray(jax.tree.leaves(g)[k]).ravel() for g in dense])
            for k, name in enumerate(names)
        }
    return params, parts, rows


def group_of(path):
    return "layers" if path.startswith("layers") else "rest"


def by_group(rows):
    full = {name: values @ values.T for name, values in rows.items()}
    found = {"layers": 0, "rest": 0}
    for name, K in full.items():
        found[group_of(name)] = found[group_of(name)] + K
    return full, found


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, K in expected.items():
        np.testing.assert_allclose(found[name], K, rtol=2e-5, atol=2e-5 * np.abs(K).max())


def test_every_group_of_parameters_has_its_gram_matrix(setting):
    params, parts, rows = setting
    grads = [gujax.per_example_grads(loss_fn)(params, part, 2.0) for part in parts]
    full, grouped = by_group(rows)
    close(gujax.gram_by_group(grads[0]), {name: K[:5, :5] for name, K in full.items()})
    across = gujax.gram_by_group(*grads, group_of=group_of)
    close(across, {name: K[:5, 5:] for name, K in grouped.items()})


@pytest.mark.parametrize(("block_size", "kept_bytes"), [(2, 0), (3, 10**9), (16, 10**9)])
def test_blocks_of_several_lengths_give_the_whole(setting, block_size, kept_bytes):
    params, parts, rows = setting
    seen = []
    found = gujax.gram_by_blocks(
        loss_fn,
        params,
        parts,
        2.0,
        block_size=block_size,
        group_of=group_of,
        kept_bytes=kept_bytes,
        callback=lambda *done: seen.append(done),
    )
    close(found, by_group(rows)[1])
    assert list(found) == ["rest", "layers"]  # as among the parameters
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))


def test_an_interrupted_call_goes_on(setting, tmp_path):
    params, parts, _ = setting

    class Killed(Exception):
        pass

    def run(kill_at=None, params=params):
        def watch(done, total):
            if done == kill_at:
                raise Killed

        return gujax.gram_by_blocks(
            loss_fn, params, parts, 2.0, block_size=2, directory=tmp_path, callback=watch
        )

    with pytest.raises(Killed):
        run(kill_at=4)
    left = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(left) == 4
    whole = run()
    assert all(path.stat().st_mtime_ns == time for path, time in left.items())
    for name, K in gujax.gram_by_blocks(loss_fn, params, parts, 2.0, block_size=2).items():
        np.testing.assert_array_equal(whole[name], K)
    # Other parameters do not find them.
    other = run(params=jax.tree.map(lambda p: 2 * p, params))
    assert not np.allclose(other["bias"], whole["bias"])


def test_what_is_wrong_is_named(setting):
    params, parts, _ = setting
    with pytest.raises(ValueError, match="block_size"):
        gujax.gram_by_blocks(loss_fn, params, parts, 2.0, block_size=0)
    with pytest.raises(ValueError, match="parts is empty"):
        gujax.gram_by_blocks(loss_fn, params, [], 2.0, block_size=2)
    with pytest.raises(ValueError, match="not finite"):
        gujax.gram_by_blocks(loss_fn, params, parts, jnp.nan, block_size=4)
    small = gujax.per_example_grads(loss_fn, microbatch_size=2)(params, parts[0], 2.0)
    with pytest.raises(ValueError, match="microbatched"):
        gujax.gram_by_group(small)
