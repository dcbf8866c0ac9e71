"""Computes a step on one device and on a mesh of all; a program of its own, started by the tests.

python -m tests.gradients.sharding_worker OUTPUT.npz [COORDINATOR PROCESS NUM_PROCESSES]
"""

import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import gujax
from gujax.gradients import gram_and_sum

BATCH, POSITIONS, VOCABULARY, WIDTH, CLASSES = 16, 6, 24, 16, 8


def loss(params, example):
    """A tied embedding, a normalization, a layer over positions, a convolution, a head."""
    tokens, label = example
    x = params["embedding"][tokens]
    x = params["scale"] * x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-3)
    x = jnp.tanh(x @ params["inner"] + params["bias"])
    x = jax.lax.conv_general_dilated(
        x[None], params["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )[0]
    language = jax.nn.log_softmax(x @ params["embedding"].T)
    logits = jax.nn.log_softmax(x.mean(0) @ params["head"])
    return -logits[label] - jnp.take_along_axis(language[:-1], tokens[1:, None], 1).mean()


def problem():
    rng = np.random.default_rng(0)
    shapes = {
        "embedding": (VOCABULARY, WIDTH),
        "scale": (WIDTH,),
        "inner": (WIDTH, 2 * WIDTH),
        "bias": (2 * WIDTH,),
        "kernel": (3, 2 * WIDTH, WIDTH),
        "head": (WIDTH, CLASSES),
    }
    params = {
        name: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in shapes.items()
    }
    tokens = rng.integers(0, VOCABULARY, (BATCH, POSITIONS), dtype=np.int32)
    return params, (tokens, rng.integers(0, CLASSES, BATCH, dtype=np.int32))


def step(params, batch):
    grads = gujax.per_example_grads(loss)(params, batch)
    K = gujax.gram(grads)
    clip = gujax.transforms.uniqueness_clip(1.0, relative_ridge=0.1)
    update, _ = clip.update(grads, clip.init(params), params)
    return {
        "gram": K,
        "squared_norms": gujax.squared_norms(grads),
        "uniqueness": gujax.uniqueness(K, relative_ridge=0.1),
        "update": update,
    }


def sharded_along(mesh, axis, x):
    """The first dimension that divides is split; a parameter without one stays whole."""
    size = mesh.shape[axis]
    divides = [i for i, length in enumerate(x.shape) if length % size == 0][:1]
    return NamedSharding(mesh, P(*(axis if [i] == divides else None for i in range(x.ndim))))


def placements(devices):
    """Name of a placement -> (mesh, sharding of a parameter)."""
    line = Mesh(devices, ("data",))
    grid = Mesh(np.reshape(devices, (-1, 2)), ("data", "model"))
    split_over_model = (grid, lambda x: sharded_along(grid, "model", x))
    explicit = jax.make_mesh(grid.devices.shape, grid.axis_names)
    explicit_over_data = (explicit, lambda x: sharded_along(explicit, "data", x))
    if jax.process_count() > 1:  # every placement is compiled: keep the test short
        return {"sharded over model": split_over_model, "explicit": explicit_over_data}
    return {
        "replicated": (line, lambda x: NamedSharding(line, P())),
        "sharded over data": (line, lambda x: sharded_along(line, "data", x)),
        "sharded over model": split_over_model,
        "explicit": explicit_over_data,
    }


def shard_map_step(mesh):
    """Norms, and the sum of the clipped gradients, of shards that are added up."""

    def shard(params, batch):
        grads = gujax.per_example_grads(loss)(params, batch)
        norms = gujax.squared_norms(grads)
        clipped = gujax.weighted_sum(grads, jnp.minimum(1, jax.lax.rsqrt(norms)))
        return norms, jax.lax.psum(clipped, "data")

    specs = {"in_specs": (P(), P("data")), "out_specs": (P("data"), P())}
    return jax.jit(jax.shard_map(shard, mesh=mesh, **specs))


def clipped(params, batch):
    """Norms, and a noiseless step of DP-SGD."""
    grads = gujax.per_example_grads(loss)(params, batch)
    rule = gujax.transforms.dp_sgd(1.0, 0.0, BATCH, key=jax.random.key(0), num_examples=BATCH)
    ids = jnp.arange(BATCH)
    update, _ = rule.update(grads, rule.init(params), params, example_ids=ids)
    return gujax.squared_norms(grads), jax.tree.map(lambda u: BATCH * u, update)


def largest_gathered(mesh):
    """Numbers in the largest array that is gathered on every device for Gram matrices and a mean.

    Every parameter's gradients are formed.
    """
    params, batch = problem()
    placed = jax.device_put(params, NamedSharding(mesh, P()))
    spread = jax.device_put(batch, NamedSharding(mesh, P("data")))

    def found(params, batch):
        grads = gujax.per_example_grads(loss, gram_way="outer")(params, batch)
        dense = gujax.materialize(grads)
        return gujax.gram(grads), gujax.gram(dense), gram_and_sum(grads, jnp.ones(BATCH))

    program = jax.jit(found).lower(placed, spread).compile().as_text()
    assert "all-to-all" in program
    shapes = re.findall(r"\[([\d,]*)\][^=\n]* all-gather(?:-start)?\(", program)
    return max((math.prod(map(int, shape.split(","))) for shape in shapes), default=0)


def named(tree):
    return {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree.leaves_with_path(tree)}


def main(output, coordinator=None, process=0, num_processes=1):
    if coordinator:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, int(num_processes), int(process))
    params, batch = problem()
    alone = jax.jit(step)(*jax.device_put((params, batch), jax.local_devices()[0]))
    arrays = {f"alone|{name}": value for name, value in named(alone).items()}
    for placement, (mesh, of_parameter) in placements(jax.devices()).items():
        placed = (
            jax.tree.map(lambda x, f=of_parameter: jax.device_put(x, f(x)), params),
            jax.device_put(batch, NamedSharding(mesh, P("data"))),
        )
        results = jax.jit(step, out_shardings=NamedSharding(mesh, P()))(*placed)
        values = jax.tree.map(lambda x: x.addressable_data(0), results)
        arrays |= {f"{placement}|{name}": value for name, value in named(values).items()}
    if jax.process_count() == 1:
        mesh = jax.make_mesh((len(jax.devices()),), ("data",))
        placed = (
            jax.device_put(params, NamedSharding(mesh, P())),
            jax.device_put(batch, NamedSharding(mesh, P("data"))),
        )
        for name, results in {
            "clipped alone": jax.jit(clipped)(params, batch),
            "clipped in shard_map": shard_map_step(mesh)(*placed),
            "clipped outside of jit": clipped(*placed),
        }.items():
            arrays |= {f"{name}|{key}": value for key, value in named(results).items()}
        arrays["largest gathered"] = largest_gathered(mesh)
    np.savez(output, num_devices=len(jax.devices()), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
