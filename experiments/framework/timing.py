"""Calls timed side by side in one process."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

_SECONDS_PER_SAMPLE = 0.05  # long enough for the clock and the dispatch not to count
_FEWEST_ROUNDS = 5


class Quartiles(NamedTuple):
    """Median and quartiles of repeated measurements."""

    median: float
    low: float
    high: float


def quartiles(values: list[float]) -> Quartiles:
    """Median, lower and upper quartile; all equal where there is one value only."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Quartiles(median, low, high)


def summarize_times(
    samples: Mapping[str, Sequence[float]], plain: str
) -> dict[str, tuple[Quartiles, Quartiles]]:
    """Milliseconds, and time over that of `plain` in the same round, by name."""
    return {
        name: (
            quartiles([1e3 * second for second in seconds]),
            quartiles([a / b for a, b in zip(seconds, samples[plain])]),
        )
        for name, seconds in samples.items()
    }


def interleave(
    calls: Mapping[str, Callable[[], object]], seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Times every call once per round, so that a busy machine slows all of them alike.

    Rounds follow one another in random order: no call always runs in the wake of the same other.
    The first call of each is not counted, it warms caches up; but a call that takes longer than
    `seconds` is made only that once.

    Args:
        calls: What to time, by name. Each must return only when its result is there.
        seconds: How long each may be measured for; at least five rounds are made of it.
        rounds: Largest number of rounds.

    Returns:
        Seconds of a call in each round in which it was timed, by name; entry i of each is of the
        same round.
    """
    rng = np.random.default_rng(0)
    first = {name: _time(call, 1) for name, call in calls.items()}
    samples = {name: [spent] if spent > seconds else [] for name, spent in first.items()}
    loops = {name: max(1, int(_SECONDS_PER_SAMPLE / spent)) for name, spent in first.items()}
    left = {name: _num_rounds(spent, seconds, rounds) for name, spent in first.items()}
    for done in range(rounds):
        running = [name for name in calls if done < left[name]]
        for index in rng.permutation(len(running)):
            name = running[index]
            if loops[name] > 1:
                calls[name]()  # a quick call first makes the caches its own again
            samples[name].append(_time(calls[name], loops[name]) / loops[name])
    return samples


def _num_rounds(first: float, seconds: float, rounds: int) -> int:
    if first > seconds:
        return 0
    return min(rounds, max(_FEWEST_ROUNDS, int(seconds / max(first, _SECONDS_PER_SAMPLE))))


def _time(call: Callable[[], object], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - start
