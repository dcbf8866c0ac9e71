"""Computes a step on one device and on a mesh of all; a program of its own, started by the tests.

python -m tests.gradients.sharding_worker OUTPUT.npz [COORDINATOR PROCESS NUM_PROCESSES]
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import gujax

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
    if jax.process_count() > 1:  # every placement is compiled: keep the test short
        return {"sharded over model": split_over_model}
    return {
        "replicated": (line, lambda x: NamedSharding(line, P())),
        "sharded over data": (line, lambda x: sharded_along(line, "data", x)),
        "sharded over model": split_over_model,
    }


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
    np.savez(output, num_devices=len(jax.devices()), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
