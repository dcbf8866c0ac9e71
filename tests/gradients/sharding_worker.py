"""Computes everything on one device and on a mesh; a program of its own, started by the tests.

python -m tests.gradients.sharding_worker OUTPUT.npz [COORDINATOR PROCESS NUM_PROCESSES]
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import gujax
from gujax import transforms
from gujax.gradients.sketch import sketch

BATCH, POSITIONS, VOCABULARY, WIDTH, CLASSES, NUM_EXAMPLES = 16, 6, 24, 16, 8, 40
COMMON = {"relative_ridge": 0.1, "num_examples": NUM_EXAMPLES}


def loss(params, example):
    """A tied embedding, a normalization, matrices over positions, a convolution, a dense leaf."""
    tokens, label = example
    x = params["embedding"][tokens]
    x = params["scale"] * x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-3)
    x = jax.nn.gelu(x @ params["inner"] + params["bias"])
    x = (
        x
        + jax.lax.conv_general_dilated(
            x[None], params["kernel"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )[0]
    )
    language = jax.nn.log_softmax((x @ params["outer"]) @ params["embedding"].T)
    logits = jax.nn.log_softmax(x.mean(0) @ params["head"])
    return -logits[label] - jnp.take_along_axis(language[:-1], tokens[1:, None], 1).mean()


def problem():
    rng = np.random.default_rng(0)
    shapes = {
        "embedding": (VOCABULARY, WIDTH),
        "scale": (WIDTH,),
        "inner": (WIDTH, 2 * WIDTH),
        "bias": (2 * WIDTH,),
        "kernel": (3, 2 * WIDTH, 2 * WIDTH),
        "outer": (2 * WIDTH, WIDTH),
        "head": (2 * WIDTH, CLASSES),
    }
    params = {
        name: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in shapes.items()
    }
    tokens = rng.integers(0, VOCABULARY, (BATCH, POSITIONS), dtype=np.int32)
    labels = rng.integers(0, CLASSES, BATCH, dtype=np.int32)
    ids = rng.permutation(NUM_EXAMPLES)[:BATCH].astype(np.int32)
    mask = np.arange(BATCH) < BATCH - 3
    return params, ((tokens, labels), ids, mask)


def everything(params, examples):
    """All that gujax computes of one batch."""
    batch, ids, mask = examples
    key = jax.random.key(0)
    grads = gujax.per_example_grads(loss)(params, batch)
    K = gujax.gram(grads)
    results = {
        "gram": K,
        "squared_norms": gujax.squared_norms(grads),
        "uniqueness": gujax.uniqueness(K, relative_ridge=0.1),
        "weighted_sum": gujax.weighted_sum(grads, jnp.linspace(-1, 1, BATCH)),
        "sketch": sketch(grads, key, 64),
        "microbatched_gram": gujax.gram(
            gujax.per_example_grads(loss, microbatch_size=8)(params, batch)
        ),
    }
    for name, transform in {
        "mean": transforms.mean(**COMMON),
        "uniqueness_gate": transforms.uniqueness_gate(quantile=0.7, **COMMON),
        "uniqueness_clip": transforms.uniqueness_clip(1.0, **COMMON),
        "disclosure_budget": transforms.disclosure_budget(0.4, **COMMON),
        "dp_sgd": transforms.dp_sgd(1.0, 0.5, BATCH, key, num_examples=NUM_EXAMPLES),
    }.items():
        state = transform.init(params)
        updates, state = transform.update(grads, state, params, example_ids=ids, mask=mask)
        results[name] = {
            "updates": updates,
            "uniqueness": state.uniqueness,
            "weights": state.weights,
            "ledger": state.ledger,
        }
    return results


def placements(devices):
    """Name of a placement -> (sharding of the examples, sharding of each parameter)."""
    line = Mesh(devices, ("data",))
    grid = Mesh(np.reshape(devices, (len(devices) // 2, 2)), ("data", "model"))

    def along(axis, params):
        """Shard the first dimension that divides; leave the parameter whole if there is none."""
        size = axis.mesh.shape[axis.spec[0]]

        def spec(x):
            divides = [i for i, length in enumerate(x.shape) if length % size == 0]
            return P(*(axis.spec[0] if i == divides[0] else None for i in range(x.ndim)))

        return {
            name: NamedSharding(axis.mesh, spec(x) if any(n % size == 0 for n in x.shape) else P())
            for name, x in params.items()
        }

    whole = lambda params: {name: NamedSharding(line, P()) for name in params}  # noqa: E731
    return {
        "replicated": (NamedSharding(line, P("data")), whole),
        "sharded over data": (
            NamedSharding(line, P("data")),
            partial(along, NamedSharding(line, P("data"))),
        ),
        "sharded over model": (
            NamedSharding(grid, P("data")),
            partial(along, NamedSharding(grid, P("model"))),
        ),
    }


def named(tree):
    return {jax.tree_util.keystr(k): np.asarray(v) for k, v in jax.tree.leaves_with_path(tree)}


def main(output, coordinator=None, process=0, num_processes=1):
    if coordinator:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, int(num_processes), int(process))
    params, examples = problem()
    alone = jax.jit(everything)(*jax.device_put((params, examples), jax.local_devices()[0]))
    arrays = {f"alone|{name}": value for name, value in named(alone).items()}
    for placement, (of_examples, of_params) in placements(jax.devices()).items():
        replicated = NamedSharding(of_examples.mesh, P())
        placed = (
            jax.tree.map(jax.device_put, params, of_params(params)),
            jax.device_put(examples, of_examples),
        )
        results = jax.jit(everything, out_shardings=replicated)(*placed)
        values = jax.tree.map(lambda x: x.addressable_data(0), results)
        arrays |= {f"{placement}|{name}": value for name, value in named(values).items()}
    np.savez(output, num_devices=len(jax.devices()), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
