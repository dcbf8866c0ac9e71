"""The recorder sums what its statistics say, as a ledger does."""

import jax
import jax.numpy as jnp
import numpy as np

import gujax
from experiments.membership.recorder import record
from gujax import transforms

RIDGE, NUM_EXAMPLES = 0.1, 6


def test_totals_are_those_of_a_ledger_and_updates_are_unchanged():
    plain = transforms.mean(relative_ridge=RIDGE, num_examples=NUM_EXAMPLES)
    recorder = record(
        plain,
        {
            "gnq": lambda g, m: gujax.uniqueness(gujax.gram(g), relative_ridge=RIDGE, mask=m),
            "norm": lambda g, m: gujax.squared_norms(g),
        },
        NUM_EXAMPLES,
    )
    params = {"w": jnp.zeros((3, 2))}
    states, norms = (plain.init(params), recorder.init(params)), np.zeros(NUM_EXAMPLES)
    for step, (ids, mask) in enumerate(
        [([0, 3, 5, 1], [True] * 4), ([3, 2, 0, 0], [True, True, True, False])]
    ):
        grads = {"w": jax.random.normal(jax.random.key(step), (4, 3, 2))}
        arguments = {"example_ids": jnp.array(ids), "mask": jnp.array(mask)}
        expected, first = plain.update(grads, states[0], **arguments)
        found, second = recorder.update(grads, states[1], **arguments)
        np.testing.assert_array_equal(found["w"], expected["w"])
        states = first, second
        np.add.at(norms, np.array(ids)[mask], np.square(grads["w"]).sum((1, 2))[np.array(mask)])
    ledger, state = states[0].ledger, states[1]
    np.testing.assert_allclose(state.totals["gnq"], ledger.mu_squared / 4, rtol=1e-5)
    np.testing.assert_allclose(state.totals["norm"], norms, rtol=1e-5)
    np.testing.assert_array_equal(state.steps, [2, 1, 1, 2, 0, 1])
    np.testing.assert_array_equal(state.ledger.steps, ledger.steps)
