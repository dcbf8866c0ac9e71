"""What the best of several attacks reaches, the choice of the best accounted for."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from gujax.attacks.membership._checks import as_mask
from gujax.attacks.membership._curve import Curve
from gujax.statistics import Interval, percentile_interval

MEASURES = ("auc", "tpr_at_fpr_1pct", "tpr_at_fpr_01pct", "balanced_accuracy")
_NUM_SPLITS = 10


class BestAttack(NamedTuple):
    """What the best of several attacks reaches, by one measure.

    Attributes:
        reached: what the best attack reaches, and an interval for the largest of all attacks' true
            values; see `best_of_attacks`.
        chosen: the attack with the largest value on all examples.
        largest: that value. It over-estimates what the attack reaches, as the largest of several
            noisy numbers does.
        each: every attack's own value with its own percentile interval.
    """

    reached: Interval
    chosen: str
    largest: float
    each: dict[str, Interval]


def best_of_attacks(
    scores: Mapping[str, Float[np.ndarray, "seeds models examples"]],
    members: Bool[np.ndarray, "seeds models examples"],
    *,
    include: Bool[np.ndarray, "seeds models examples"] | None = None,
    num_resamples: int = 200,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, BestAttack]:
    """Measure the best of several attacks on the same models, by each of `MEASURES`.

    Each attack's value is the mean over seeds of its measure over all models and examples of the
    seed. Examples are the same in all seeds, so one resample of the bootstrap draws examples and,
    if there are several, seeds, with replacement, and takes the drawn examples in each drawn seed
    (Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1). Noise that belongs to the
    pair of example and seed alone is counted by both draws, so intervals may be too wide, by √3 at
    most; of S seeds, the part of the variance that is between seeds is seen by a factor 1 − 1/S
    too small.

    Which attack is best is chosen from the same noisy numbers. This is accounted for twice:

    - the value by sample splitting: the attack is chosen on one half of the examples and measured
      on the other, and the other way around, over 10 random splits. It is an unbiased estimate
      for the attack that half the examples choose, so never too large on average, and too small by
      what that attack falls short of the best one. (It holds for a TPR where half the examples are
      hundreds of non-members at 1 % FPR, thousands at 0.1 %: below, a half's threshold is coarse.)
    - the interval by a simultaneous band: all attacks' true values lie within q standard errors of
      what was measured with the confidence asked for, q being the quantile of the largest
      deviation over attacks within a resample; then so does their largest, between the largest of
      the lower and the largest of the upper ends. A percentile interval of each resample's largest
      value would count the noise twice.

    Args:
        scores: by name of the attack, [S, M, N] for S seeds, higher meaning "member".
        members: truth, [S, M, N].
        include: pairs of model and example to count, [S, M, N]; all if None.
        num_resamples: number of bootstrap resamples, 20 or more.
        confidence_level: coverage of the intervals.
        seed: seed of splits and bootstrap.

    Returns:
        By measure, the best attack and all of them.

    Raises:
        ValueError: if there is no attack, shapes do not match, an included score is NaN, or an
            argument is out of range, or a seed is left without members or non-members.
    """
    members = as_mask("members", members)
    included = np.ones(members.shape, bool) if include is None else as_mask("include", include)
    _check(scores, members, included, num_resamples, confidence_level)
    num_seeds, _, num_examples = members.shape
    curves = [
        [
            Curve(of_attack[s][included[s]], members[s][included[s]], np.nonzero(included[s])[1])
            for s in range(num_seeds)
        ]
        for of_attack in map(np.asarray, scores.values())
    ]

    def values(examples: np.ndarray, seeds: np.ndarray) -> Float[np.ndarray, "attacks measures"]:
        drawn = np.flatnonzero(seeds)
        return np.array(
            [
                np.average(
                    [of_attack[s].measures(examples) for s in drawn], axis=0, weights=seeds[drawn]
                )
                for of_attack in curves
            ]
        )

    rng = np.random.default_rng(seed)
    every_seed = np.ones(num_seeds)
    found = values(np.ones(num_examples), every_seed)
    split = np.mean(
        [_cross_fitted(values, num_examples, every_seed, rng) for _ in range(_NUM_SPLITS)], axis=0
    )
    resamples = np.array(
        [values(_drawn(rng, num_examples), _drawn(rng, num_seeds)) for _ in range(num_resamples)]
    )
    low, high = _simultaneous(found, resamples, confidence_level)
    result = {}
    for m, measure in enumerate(MEASURES):
        each = {
            name: percentile_interval(resamples[:, a, m], confidence_level)._replace(
                mean=float(found[a, m])
            )
            for a, name in enumerate(scores)
        }
        best = int(found[:, m].argmax())
        value = float(split[m])
        # Near 0 and 1 a band that is symmetric reaches too far on one side, and on the other may
        # leave out the value, which is of halves.
        ends = np.clip([low[:, m].max(), high[:, m].max()], 0, 1)
        reached = Interval(value, min(value, float(ends[0])), max(value, float(ends[1])))
        result[measure] = BestAttack(reached, list(scores)[best], float(found[best, m]), each)
    return result


def _drawn(rng: np.random.Generator, size: int) -> np.ndarray:
    """How often each of so many is drawn, with replacement."""
    return rng.multinomial(size, np.full(size, 1 / size)).astype(float)


def _cross_fitted(values, num_examples: int, seeds: np.ndarray, rng: np.random.Generator):
    """For each measure, what is chosen on one half and measured on the other, both ways."""
    half = rng.permutation(num_examples) < num_examples // 2
    one, other = values(half.astype(float), seeds), values((~half).astype(float), seeds)
    columns = np.arange(one.shape[1])
    return (other[one.argmax(axis=0), columns] + one[other.argmax(axis=0), columns]) / 2


def _simultaneous(
    found: Float[np.ndarray, "attacks measures"],
    resamples: Float[np.ndarray, "resamples attacks measures"],
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """A band that holds all attacks' values at once, by measure."""
    error = resamples.std(axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.nan_to_num(np.abs(resamples - found) / error, posinf=0.0)
    quantile = np.quantile(deviation.max(axis=1), confidence, axis=0)
    return found - quantile * error, found + quantile * error


def _check(
    scores: Mapping[str, np.ndarray],
    members: np.ndarray,
    included: np.ndarray,
    num_resamples: int,
    confidence_level: float,
) -> None:
    if not scores:
        raise ValueError("scores holds no attack; give one at least")
    if num_resamples < 20:
        raise ValueError(f"num_resamples={num_resamples} must be 20 or more")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level={confidence_level} must lie between 0 and 1")
    if members.ndim != 3 or included.shape != members.shape:
        raise ValueError(
            f"members has shape {members.shape} and include {included.shape}; both must be "
            "(seeds, models, examples)"
        )
    for name, values in scores.items():
        if np.shape(values) != members.shape:
            raise ValueError(
                f"scores[{name!r}] has shape {np.shape(values)}, expected that of members, "
                f"{members.shape}"
            )
        if np.isnan(np.asarray(values)[included]).any():
            raise ValueError(
                f"scores[{name!r}] has NaN entries among the included; leave them out with include="
            )
    counts = [(side & included).sum(axis=(1, 2)) for side in (members, ~members)]
    if np.min(counts) == 0:
        raise ValueError("include leaves a seed without members or without non-members")
