"""Arrays with explicit mesh axes, and `shard_map` with its checks: the numbers of plain arrays.

Axes have a type on a mesh of one device already; `test_sharding.py` runs on meshes of several.
"""

import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import gujax
from gujax import transforms
from tests.gradients.checks import compiled

BATCH, DATA, WIDTH = 8, 12, 5
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape) / 2


PARAMS = {"table": normal(7, WIDTH), "weight": normal(WIDTH, WIDTH), "bias": normal(WIDTH)}
EXAMPLES = RNG.integers(0, 7, (BATCH, 4)), normal(BATCH, WIDTH)
IDS = np.arange(BATCH)
WEIGHTS = normal(BATCH)
MEASURE = {"relative_ridge": 0.1, "num_examples": DATA}
RULES = {
    "mean": transforms.mean,
    "clip": partial(transforms.uniqueness_clip, 1.0, **MEASURE),
    "gate": partial(transforms.uniqueness_gate, 1.0, **MEASURE),
    "budget": partial(transforms.disclosure_budget, 5.0, relative_ridge=0.1, num_examples=DATA),
    "dp": partial(transforms.dp_sgd, 1.0, 0.5, BATCH, key=jax.random.key(0), num_examples=DATA),
}
WAYS = {
    "factored": {},
    "inner": {"gram_way": "inner"},
    "outer, in blocks": {"gram_way": "outer", "memory_limit": 2500},
    "dense": {"method": "dense"},
    "microbatches": {"microbatch_size": 3},
}


def make_loss(constant):
    """A loss with a lookup, a scan, a branch, and an array that it closes over."""

    def loss(params, example):
        tokens, x = example

        def step(h, row):
            h = jnp.tanh(h @ params["weight"] + row)
            return h, h

        h, states = jax.lax.scan(step, 0 * x, params["table"][tokens] + x)
        states = jax.lax.cond(
            x[0] > 0, lambda s: jnp.tanh(s @ params["weight"]), lambda s: s, states
        )
        return jnp.sum((states @ constant) ** 2) + jnp.sum(jnp.tanh(h @ params["table"].T))

    return loss


CONSTANT = normal(WIDTH, WIDTH)


def answers(loss, params, batch, **way):
    values, grads = gujax.value_and_per_example_grads(loss, **way)(params, batch)
    return {
        "values": values,
        "gram": gujax.gram(grads),
        "squared_norms": gujax.squared_norms(grads),
        "weighted_sum": gujax.weighted_sum(grads, WEIGHTS),
        "materialize": gujax.materialize(grads),
    }


def transformed(name, loss, params, batch, ids):
    rule = RULES[name]()
    grads = gujax.per_example_grads(loss)(params, batch)
    update, state = rule.update(grads, rule.init(params), params, example_ids=ids, mask=ids > 1)
    return update, state.uniqueness, state.weights, state.ledger


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def on(mesh, spec, tree):
    return jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, spec)), tree)


def explicit_mesh():
    return jax.make_mesh((1, 1), ("data", "model"))


@pytest.mark.parametrize(
    ("way", "context"),
    [(way, False) for way in WAYS] + [("factored", True), ("dense", True)],
)
def test_explicit_axes(way, context):
    expected = compiled(partial(answers, make_loss(CONSTANT), **WAYS[way]), PARAMS, EXAMPLES)
    mesh = explicit_mesh()
    spread = P("model") if context else P("data")
    with jax.set_mesh(mesh) if context else contextlib.nullcontext():
        loss = make_loss(on(mesh, P(), CONSTANT) if context else CONSTANT)
        found = compiled(
            partial(answers, loss, **WAYS[way]),
            on(mesh, spread, PARAMS),
            on(mesh, P("data"), EXAMPLES),
        )
    assert_same(found, expected)


def test_explicit_axes_outside_of_jit():
    mesh = explicit_mesh()
    placed = on(mesh, P("model"), PARAMS), on(mesh, P("data"), EXAMPLES)
    assert_same(
        answers(make_loss(CONSTANT), *placed), answers(make_loss(CONSTANT), PARAMS, EXAMPLES)
    )


@pytest.mark.parametrize("name", RULES)
def test_transformations_with_explicit_axes(name):
    run = partial(transformed, name, make_loss(CONSTANT))
    mesh = explicit_mesh()
    placed = on(mesh, P("data"), PARAMS), on(mesh, P("data"), EXAMPLES), on(mesh, P("data"), IDS)
    assert_same(compiled(run, *placed), compiled(run, PARAMS, EXAMPLES, IDS))


@pytest.mark.parametrize("ridge", [{"sketch_size": 4}, {}], ids=["sketched", "exact"])
def test_dataset_uniqueness_with_explicit_axes(ridge):
    run = partial(
        gujax.dataset_uniqueness,
        make_loss(CONSTANT),
        key=jax.random.key(0),
        microbatch_size=3,
        relative_ridge=0.5,
        **ridge,
    )
    mesh = explicit_mesh()
    assert_same(run(on(mesh, P(), PARAMS), on(mesh, P("data"), EXAMPLES)), run(PARAMS, EXAMPLES))


def wishing(params, example):
    """A loss that says where its intermediate results lie."""
    tokens, x = example
    rows = params["table"].at[tokens].get(out_sharding=P(None, "model"))
    h = jnp.einsum("tw,wv->tv", rows + x, params["weight"], out_sharding=P(None, "model"))
    h = jax.lax.scan(lambda c, row: (jnp.tanh(c + row), None), 0 * h[0], h)[0]
    return jnp.sum(jax.reshard(h, P()) ** 2)


@pytest.mark.parametrize("way", ["factored", "dense"])
def test_a_loss_that_places_its_results(way):
    mesh = explicit_mesh()
    with jax.set_mesh(mesh):
        expected = compiled(jax.vmap(jax.grad(wishing), (None, 0)), PARAMS, EXAMPLES)
        placed = on(mesh, P(None, "model"), {k: v for k, v in PARAMS.items() if k != "bias"})
        placed |= {"bias": on(mesh, P("model"), PARAMS["bias"])}
        found = compiled(
            partial(answers, wishing, **WAYS[way]), placed, on(mesh, P("data"), EXAMPLES)
        )
    assert_same(found["materialize"], expected)


@pytest.mark.parametrize(
    ("way", "types"),
    [(way, AxisType.Auto) for way in WAYS] + [("factored", AxisType.Explicit)],
)
def test_shard_map_with_its_checks(way, types):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(types,))
    loss = make_loss(CONSTANT)

    def shard(params, batch):
        found = answers(loss, params, batch, **WAYS[way])
        return {**found, "weighted_sum": jax.lax.psum(found["weighted_sum"], "data")}

    out = dict.fromkeys(("values", "gram", "squared_norms", "materialize"), P("data"))
    run = jax.shard_map(
        shard, mesh=mesh, in_specs=(P(), P("data")), out_specs={**out, "weighted_sum": P()}
    )
    expected = compiled(partial(answers, loss, **WAYS[way]), PARAMS, EXAMPLES)
    assert_same(compiled(run, on(mesh, P(), PARAMS), on(mesh, P("data"), EXAMPLES)), expected)


@pytest.mark.parametrize("name", ["clip", "budget", "dp"])
def test_transformations_in_shard_map(name):
    mesh = jax.make_mesh((1,), ("data",))
    run = partial(transformed, name, make_loss(CONSTANT))
    mapped = jax.shard_map(
        run, mesh=mesh, in_specs=(P(), P("data"), P("data")), out_specs=P("data")
    )
    update, *_ = compiled(run, PARAMS, EXAMPLES, IDS)
    placed = on(mesh, P(), PARAMS), *on(mesh, P("data"), (EXAMPLES, IDS))
    assert_same(compiled(mapped, *placed)[0], update)
