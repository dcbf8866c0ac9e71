"""A step of a tiny Llama on one device and on meshes that split parameters and batch.

python -m tests.models.fsdp_worker OUTPUT.npz
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import gujax
from gujax import models, training, transforms
from tests.gradients.sharding_worker import named, sharded_along

BATCH, LENGTH, RIDGE = 8, 12, 0.1
CONFIG = models.LanguageConfig("llama", 64, LENGTH, 32, 2, 4, 2, 64, 8)
MODEL = models.language_model(CONFIG)
LOSS = training.next_token_loss(MODEL.apply)
OPTIMIZER = optax.adam(1e-2)


def problem():
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x.astype(jnp.float64), MODEL.init(jax.random.key(0)))
    tokens = rng.integers(0, CONFIG.vocabulary, (BATCH, LENGTH), dtype=np.int32)
    return params, (tokens, rng.integers(3, LENGTH + 1, BATCH, dtype=np.int32))


def audited(params, batch):
    """What an audited step gives, from factored gradients."""
    rule = transforms.mean(relative_ridge=RIDGE, batch_size=BATCH, num_examples=BATCH)
    grads = gujax.per_example_grads(LOSS)(params, batch)
    ids = jnp.arange(BATCH)
    gradient, state = rule.update(grads, rule.init(params), params, example_ids=ids)
    update, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(params), params)
    measured = {"gram": gujax.gram(grads), "uniqueness": state.uniqueness}
    return measured, {"gradient": gradient, "update": update}


def plain(params, batch):
    """The Gram matrix, mean gradient and update, without a line of gujax's engine."""
    grads = jax.vmap(jax.grad(LOSS), (None, 0))(params, batch)
    rows = jnp.concatenate([x.reshape(BATCH, -1) for x in jax.tree.leaves(grads)], axis=1)
    gradient = jax.tree.map(partial(jnp.mean, axis=0), grads)
    update, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(params), params)
    return {"gram": rows @ rows.T}, {"gradient": gradient, "update": update}


def share(x):
    """How much of an array lies on each device."""
    return x.addressable_shards[0].data.size / x.size


def main(output):
    jax.config.update("jax_enable_x64", True)
    params, batch = problem()
    alone = jax.jit(plain)(params, batch)
    arrays = {f"alone|{name}": value for name, value in named(alone).items()}
    meshes = {"automatic": Mesh(jax.devices(), ("data",)), "explicit": jax.make_mesh((8,), "data")}
    for name, mesh in meshes.items():
        placed = jax.tree.map(
            lambda x, mesh=mesh: jax.device_put(x, sharded_along(mesh, "data", x)), params
        )
        like = jax.tree.map(lambda x: x.sharding, placed)
        out = NamedSharding(mesh, P()), {"gradient": like, "update": like}
        spread = jax.device_put(batch, NamedSharding(mesh, P("data")))
        found = jax.jit(audited, out_shardings=out)(placed, spread)
        arrays |= {f"{name}|{key}": value for key, value in named(found).items()}
        arrays[f"shares|{name}"] = [share(x) for x in jax.tree.leaves((placed, found[1]))]
    np.savez(output, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
