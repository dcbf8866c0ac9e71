"""One process of federated learning: the server, which is number 0, or a client with its examples.

    python -m experiments.jobs.federated.client PARENT COORDINATOR NUMBER OPTIONS CLIENTS OUT

The server starts with the parameters and writes down what it receives. A client sends its updates
through a sum or a gathering of `jax.distributed`: under secure aggregation the sum is all that
leaves the collective. How a cryptographic protocol would make that so is not part of it.
"""

import json
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from experiments.framework.process import end_with_parent
from experiments.inversion.runs import Round, rounds
from experiments.jobs.federated.options import Options
from experiments.jobs.federated.plan import prepare


def main(coordinator: str, number: int, options: Path, clients: int, out: Path) -> None:
    """Takes part in every round."""
    jax.distributed.initialize(coordinator, clients + 1, number)
    plan = prepare(Options(**json.loads(options.read_text()))).of_clients(clients)
    mesh = Mesh(np.array(jax.devices()), ("processes",))
    received = {}
    for now in rounds(plan):
        params = _exchanged(now.params if number == 0 else _zeros(now.params), mesh, summed=True)
        updates = _of_client(now, params, max(number - 1, 0), clients)
        if number == 0:  # a server has no examples
            updates = _zeros(updates)
        if now.shared.client is not None:
            total = _exchanged(updates, mesh, summed=True)
            sent = jax.tree.map(lambda leaf: leaf / clients, total)
        else:  # [clients, rounds, ...], in the order of the victims
            each = _exchanged(updates, mesh, summed=False)
            sent = jax.tree.map(
                lambda leaf: np.swapaxes(leaf[1:], 0, 1).reshape(-1, *leaf.shape[2:]), each
            )
        for index, leaf in enumerate(jax.tree.leaves(sent)):
            received[f"{now.seed}|{now.shared.label}|{index}"] = leaf
    if number == 0:
        np.savez(out, **received)


def _of_client(now: Round, params: PyTree, client: int, clients: int) -> PyTree:
    """Its updates in all rounds, [rounds, ...], from its own examples."""
    share = now.shared.client or now.shared.share
    size = now.shared.num_examples // now.shared.num_clients
    x, y = (
        jnp.asarray(a).reshape(-1, clients, size, *a.shape[1:])[:, client]
        for a in (now.victims.x, now.victims.y)
    )
    # Nothing here draws noise: one key is as good as another.
    return jax.jit(jax.vmap(share, (None, 0, None)))(params, (x, y), now.share_key)


def _exchanged(tree: PyTree, mesh: Mesh, summed: bool) -> PyTree:
    """What every process has of it afterwards: the sum over processes, or all, stacked."""
    placed = jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(
            NamedSharding(mesh, PartitionSpec("processes")), np.asarray(leaf)[None]
        ),
        tree,
    )
    collect = _sum if summed else _all
    collected = jax.jit(collect, out_shardings=NamedSharding(mesh, PartitionSpec()))(placed)
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), collected)


def _sum(tree: PyTree) -> PyTree:
    return jax.tree.map(partial(jnp.sum, axis=0), tree)


def _all(tree: PyTree) -> PyTree:
    return tree


def _zeros(tree: PyTree) -> PyTree:
    return jax.tree.map(np.zeros_like, tree)


if __name__ == "__main__":
    parent, coordinator, number, options, clients, out = sys.argv[1:]
    end_with_parent(int(parent))
    main(coordinator, int(number), Path(options), int(clients), Path(out))
