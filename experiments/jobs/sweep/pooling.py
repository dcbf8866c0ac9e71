"""The claims of a sweep: every contrast of the trials' claims, over all settings.

A setting is a configuration without its seed. Of each, a contrast has a mean and an interval, from
the claims of its trials. Over settings the analysis is a random-effects one with equal weights
(Shuster 2010, Statistics in Medicine 29:1259): the mean of the settings' means with its t-interval,
which holds whatever the precision of each. Weights of inverse variance (DerSimonian and Laird) ask
for variances that few seeds do not give.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from experiments.framework.claims import Claim, test
from experiments.report.formats import significant
from gujax.statistics import Interval, mean_interval

_FEWEST_UNITS = 3  # of which an interval says something

Setting = tuple[Any, ...]


@dataclass(frozen=True)
class Contrast:
    """One effect of a claim in every setting that measured it, positive where the claim holds.

    Attributes:
        claim: The claim, as the first of these settings tested it.
        name: The effect in words, with its unit.
        settings: Mean and interval by setting; the interval has no ends where one seed was run.
    """

    claim: Claim
    name: str
    settings: Mapping[Setting, Interval]

    @property
    def means(self) -> np.ndarray:
        """Of every setting."""
        return np.array([interval.mean for interval in self.settings.values()])

    @property
    def counts(self) -> tuple[int, int, int]:
        """Settings whose interval lies above zero, includes it, and lies below it."""
        low, high = np.array([interval[1:] for interval in self.settings.values()]).T
        return int((low > 0).sum()), int(((low <= 0) & (high >= 0)).sum()), int((high < 0).sum())

    @property
    def sign_test(self) -> float:
        """Probability, without an effect, of so many means of one sign; means of 0 are left out."""
        signs = np.sign(self.means)
        positive, different = int((signs > 0).sum()), int((signs != 0).sum())
        return float(stats.binomtest(positive, different).pvalue) if different else 1.0

    def pooled(self) -> Interval:
        """Mean over settings with its 95 % t-interval.

        Settings that share a data set or a network are no independent draws. Where an option has at
        least three values that settings share, the means by value are taken as the draws as well;
        the widest interval counts, about the mean of its own draws.
        """
        candidates = [mean_interval(self.means)]
        for place in range(len(next(iter(self.settings)))):
            means = [found.mean() for found in self.by_value(place).values()]
            if _FEWEST_UNITS <= len(means) < len(self.settings):
                candidates.append(mean_interval(np.array(means)))
        known = [interval for interval in candidates if interval.low == interval.low]
        return max(known or candidates, key=lambda interval: interval.half_width)

    def by_value(self, place: int) -> dict[Any, np.ndarray]:
        """Means of the settings by the value of one option."""
        found: dict[Any, list[float]] = {}
        for setting, interval in self.settings.items():
            found.setdefault(setting[place], []).append(interval.mean)
        return {value: np.array(means) for value, means in found.items()}


def contrasts(trials: Sequence[tuple[Setting, Sequence[Claim]]]) -> list[Contrast]:
    """The contrasts that several settings measured.

    Args:
        trials: Setting and claims of every completed trial; trials of one setting differ in seed.
    """
    claims: dict[tuple[str, str], Claim] = {}
    effects: dict[tuple[str, str], dict[Setting, list[Interval]]] = {}
    for setting, of_trial in trials:
        for claim in of_trial:
            for name, effect in _named(claim):
                if effect.mean != effect.mean:
                    continue
                claims.setdefault((claim.key, name), claim)
                of_setting = effects.setdefault((claim.key, name), {})
                of_setting.setdefault(setting, []).append(effect)
    ordered = dict.fromkeys(key for key, _ in claims)  # effects of one claim together
    return [
        Contrast(claim, name, {s: _over_trials(e) for s, e in effects[key, name].items()})
        for wanted in ordered
        for (key, name), claim in claims.items()
        if key == wanted and len(effects[key, name]) > 1
    ]


def claims_over(found: Sequence[Contrast]) -> Iterator[Claim]:
    """Every claim, judged by its contrasts over all settings."""
    for key in dict.fromkeys(contrast.claim.key for contrast in found):
        of_claim = [contrast for contrast in found if contrast.claim.key == key]
        first = of_claim[0].claim
        yield test(
            key,
            first.statement,
            first.source,
            "; ".join(map(_in_words, of_claim)),
            {contrast.name: contrast.pooled() for contrast in of_claim},
        )


def _named(claim: Claim) -> Iterator[tuple[str, Interval]]:
    """The effects with their names; those without are told apart by their place."""
    for place, effect in enumerate(claim.effects):
        yield claim.contrasts[place] if claim.contrasts else f"effect {place + 1}", effect


def _over_trials(effects: Sequence[Interval]) -> Interval:
    """Over trials that differ in their seed; a single one gives its own interval."""
    if len(effects) == 1:
        return effects[0]
    return mean_interval(np.array([effect.mean for effect in effects]))


def _in_words(contrast: Contrast) -> str:
    above, _, below = contrast.counts
    mean, low, high = (f"{value:+.3f}" for value in contrast.pooled())
    return (
        f"{contrast.name}: {mean} [{low}, {high}] over {len(contrast.settings)} settings, of which "
        f"{int((contrast.means > 0).sum())} positive ({above} clear of zero, {below} clear below; "
        f"sign test p = {significant(contrast.sign_test, 2)})"
    )
