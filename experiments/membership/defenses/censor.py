"""Censoring: the members that a plain run disclosed most about are removed, and SGD starts anew."""

import numpy as np
from jaxtyping import Bool, Float

from experiments.membership.defenses import sgd
from experiments.membership.defenses._method import Method, Strength


def most_disclosed(
    nats: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    fraction: float,
) -> Bool[np.ndarray, "models examples"]:
    """The examples that censoring removes, [M, N].

    They are those of each model's members with most nats, a share of `fraction`, rounded up.
    """
    removed = np.zeros_like(members)
    for row, (of_model, given) in enumerate(zip(nats, members)):
        count = int(np.ceil(fraction * given.sum()))
        order = np.argsort(np.where(given, of_model, -np.inf), kind="stable")
        removed[row, order[len(order) - count :]] = True
    return removed


METHOD = Method(
    label=lambda share: f"censor {100 * share:g} %",
    color="#D55E00",
    start=sgd.METHOD.start,  # plain SGD on fewer examples
    strength=Strength(
        "share of each model's members that is removed",
        defaults=(0.01, 0.1),
        allowed=lambda share: 0 < share < 1,
        must="between 0 and 1",
    ),
    removes=most_disclosed,
)
