"""What a case is, and the registry that the tests are parametrized over."""

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

BATCH = 4


class Case(NamedTuple):
    """`loss(params, example, *shared)`, its parameters and a batch of examples."""

    loss: Callable[..., Any]
    params: Any
    batch: Any
    shared: tuple = ()


class Draw:
    """Random float64 arrays: `draw(3, 2)`; and integers below `high`."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return 0.5 * self.rng.normal(size=shape)

    def integers(self, high: int, *shape: int, low: int = 0) -> np.ndarray:
        return self.rng.integers(low, high, size=shape, dtype=np.int32)


def squared(outputs: Any) -> Any:
    """A smooth, bounded, nonlinear loss of any outputs."""
    return jnp.sum(jnp.tanh(outputs) ** 2)


CASES: dict[str, Callable[[int], Case]] = {}


def case(build: Callable[[Draw], Case]) -> Callable[[Draw], Case]:
    """Register `build` under its name. Another `seed` gives another batch of the same loss."""

    def seeded(seed: int = 0) -> Case:
        return build(Draw(zlib.crc32(build.__name__.encode()) + seed))

    CASES[build.__name__] = seeded
    return build
