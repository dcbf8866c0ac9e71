"""Inversion of all layers at once is inversion of each layer on its own."""

from dataclasses import replace

import jax
import numpy as np

from experiments.inversion.defenses import build_shared_updates
from experiments.inversion.search import SearchBudget, search
from experiments.inversion.sharing import Victims, share
from experiments.inversion.space import standardized
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.recovering import recover
from experiments.tasks.task import load_task


def test_every_layer_is_attacked_as_if_alone():
    task, space = standardized(load_task("digits", "mlp", (8,), 100))
    (shared,) = build_shared_updates(task, ["none"])
    train = task.dataset.train
    victims = Victims(train.x[:3], train.y[:3], train.ids[:3])
    key = jax.random.key(1)
    received = share(shared, jax.jit(task.model.init)(jax.random.key(0)), victims, key)
    budget = SearchBudget(space, 4, 0.1, 1e-2)
    layers = ("layers/0", "layers/1")
    found = recover(received, victims, layers, budget, key)
    assert set(found) == {*layers, WHOLE}
    for layer, recovered in found.items():
        matching = replace(budget, match=() if layer == WHOLE else (layer,))
        alone = search(received, shared.naive, matching, key)
        np.testing.assert_allclose(
            recovered.quality["matching_loss"], alone.matching_loss, rtol=1e-4, err_msg=layer
        )
        np.testing.assert_allclose(
            recovered.inputs, space.restore(alone.inputs), atol=1e-4, err_msg=layer
        )
