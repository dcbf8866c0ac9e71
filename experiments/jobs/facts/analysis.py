"""How well every score tells made-up statements from true ones."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import stats

from experiments.framework.results import Entry, entry
from experiments.jobs.facts.measure import Plan, Scored, squared_norms
from gujax import uniqueness

ALL, SAME_LENGTH = "all", "same length"
LOSSES = ("mean", "sum")
SCORES = {
    "gnq": "GNQ among the set",
    "squared_norm": "squared gradient norm",
    "loss": "loss",
    "tokens": "number of tokens",
}

_PARTITIONS = 4  # of the facts, in each of which every fact is made up once


def analyze(plan: Plan, scored: Mapping[str, Sequence[Scored]]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: source; loss (mean or sum over a statement's tokens); made_up, the share; pairs (all, or
    of the same length); score; and group of parameters, where it is not all of them.
    """
    options = plan.options
    for source, of_seeds in scored.items():
        for form, side in enumerate(("true", "made up")):
            rows = slice(form * options.num_facts, (form + 1) * options.num_facts)
            place = {"source": source, "form": side}
            yield entry("mean_tokens", [s.tokens[rows].mean() for s in of_seeds], **place)
            yield entry("mean_loss", [s.loss[rows].mean() for s in of_seeds], "nats", **place)
        for reduction in LOSSES:
            by_seed = [_reduced(s, reduction) for s in of_seeds]
            yield from _parts(by_seed, source=source, loss=reduction)
            for share in options.made_up:
                found = [
                    _aucs(s, share, options.relative_ridge, options.seed + seed)
                    for seed, s in enumerate(by_seed)
                ]
                where: dict[str, Any] = {"source": source, "loss": reduction, "made_up": share}
                for group, score, pairs in found[0]:
                    values = [of_seed[group, score, pairs] for of_seed in found]
                    keys = where | ({"group": group} if group else {})
                    yield entry("auc", values, **keys, pairs=pairs, score=score)


def sets_of(
    num_facts: int, share: float, seed: int
) -> tuple[Int[np.ndarray, "sets facts"], Bool[np.ndarray, "sets facts"]]:
    """Sets of statements, each fact in one of its forms.

    The facts are cut by chance into parts, each of which is made up in one set and true in the
    others, so that every fact is made up equally often; where parts do not come out even, nearly.

    Returns:
        Positions among all statements, true ones first, and which are made up.
    """
    count = round(share * num_facts)
    rng, sets = np.random.default_rng(seed), []
    for _ in range(_PARTITIONS):
        order = rng.permutation(num_facts)
        for start in range(0, num_facts, count):
            made_up = np.zeros(num_facts, bool)
            made_up[np.take(order, np.arange(start, start + count), mode="wrap")] = True
            sets.append(made_up)
    made_up = np.stack(sets)
    return np.arange(num_facts) + num_facts * made_up, made_up


def auc(
    scores: Float[np.ndarray, "sets facts"],
    made_up: Bool[np.ndarray, "sets facts"],
    counted: Bool[np.ndarray, "sets facts facts"] | None = None,
) -> float:
    """Probability that a made-up statement scores above a true one of its set; ties are a half.

    Args:
        scores: Of the statements of each set.
        made_up: Which of them are.
        counted: Which pairs of statements are compared; all if None.

    Returns:
        The share over all pairs of all sets; NaN if there is none.
    """
    pairs = made_up[:, :, None] & ~made_up[:, None, :]
    if counted is not None:
        pairs &= counted
    one, other = scores[:, :, None], scores[:, None, :]
    won = np.where(one == other, 0.5, one > other)
    return float(won[pairs].mean()) if pairs.any() else float("nan")


def _aucs(s: Scored, share: float, ridge: float, seed: int) -> dict[tuple[str, str, str], float]:
    """AUC by group of parameters ("" for all), score, and which pairs are compared."""
    places, made_up = sets_of(len(s.tokens) // 2, share, seed)
    tokens = s.tokens[places]
    same = tokens[:, :, None] == tokens[:, None, :]
    scores: dict[tuple[str, str], np.ndarray] = {}
    for group, K in {"": np.sum([*s.grams.values()], axis=0), **s.grams}.items():
        of_sets = K[:, places[:, :, None], places[:, None, :]]
        scores[group, "gnq"] = np.sum([_uniqueness(of_one, ridge) for of_one in of_sets], axis=0)
        scores[group, "squared_norm"] = squared_norms(K)[places]
    scores |= {("", "loss"): s.loss[places], ("", "tokens"): tokens.astype(float)}
    return {
        (*name, pairs): auc(values, made_up, counted)
        for name, values in scores.items()
        for pairs, counted in ((ALL, None), (SAME_LENGTH, same))
    }


@partial(jax.jit, static_argnames="ridge")  # compiled once for each number of sets
def _uniqueness(
    grams: Float[Array, "sets facts facts"], ridge: float
) -> Float[Array, "sets facts"]:
    return jax.vmap(partial(uniqueness, relative_ridge=ridge))(grams)


def _reduced(s: Scored, reduction: str) -> Scored:
    """The same of the sum over tokens: gradients are those of the mean times their number."""
    if reduction == "mean":
        return s
    count = (s.tokens - 1).astype(float)
    return Scored(
        {name: K * count[:, None] * count for name, K in s.grams.items()}, s.loss * count, s.tokens
    )


def _parts(by_seed: Sequence[Scored], **keys: str) -> Iterator[Entry]:
    """How the squared norms spread over groups, and how they and length go together."""
    norms = [squared_norms(np.sum([*s.grams.values()], axis=0)) for s in by_seed]
    for group in by_seed[0].grams:
        share = [squared_norms(s.grams[group]).sum() / n.sum() for s, n in zip(by_seed, norms)]
        yield entry("share_of_squared_norm", share, **keys, group=group)
    for name, values in (("loss", [s.loss for s in by_seed]), ("squared_norm", norms)):
        found = [stats.spearmanr(v, s.tokens).statistic for v, s in zip(values, by_seed)]
        yield entry("spearman_with_tokens", found, **keys, score=name)
