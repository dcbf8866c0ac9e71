"""What the onion says about the papers' claims; the rules were fixed before the first run.

All effects are differences of paired measurements, one per seed, after the last round, on the pairs
of model and example that neither the removal by nats nor the removal at random took away; "before"
is measured on models of other randomness than those that were audited (`rounds`). Verdicts follow
from their 95 % t-intervals (`experiments.framework.claim.verdict`).

- onion: removing the most vulnerable points makes others vulnerable. Holds where LiRA's AUC and its
  TPR at 1 % false positives on survivors are higher than before, and higher than after the removal
  of as many at random: four effects.
- new_layer: other points become the most unique ones. Holds where more of those with most nats are
  new than if the same training sets are trained on again, and than after removal at random: two
  effects.
- protects: censoring protects those who stay. Holds where AUC and TPR at 1 % on survivors are lower
  than before, and lower than after the removal of as many at random: four effects, those of the
  first claim with the opposite sign.
"""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.results import differences, interval, number, percent
from experiments.jobs.onion.analysis import MEASURES
from gujax.statistics import Interval

_ONION = "Carlini et al. 2022 (arXiv 2206.10469)"
_CENSORING = "GNQ v1 (arXiv 2510.10902), implied by its defense"
_FROM = {"model": "each model's training set", "data": "the pool of examples"}


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """The claims, for each scope that was run."""
    return [
        claim
        for scope, rounds in summary["scopes"].items()
        for claim in _of_scope(scope, rounds[-1])
    ]


def _of_scope(scope: str, last: Mapping[str, Any]) -> list[Claim]:
    stayed, unique = last["survivors"], last["uniqueness"]
    effects = [
        interval(stayed[contrast][measure])
        for contrast in ("rise", "against_chance")
        for measure in MEASURES
    ]
    new = [
        differences(unique["nats"]["new_in_top"], unique[other]["new_in_top"])
        for other in ("nothing", "chance")
    ]
    removed = f"{percent(last['removed_share'])} % removed from {_FROM[scope]}"
    attack = (
        f"{removed}; AUC on those who stay {number(stayed['after_nats']['auc'], 3)}: "
        f"{_signed(stayed['rise']['auc'])} against before, "
        f"{_signed(stayed['against_chance']['auc'])} against random removal; TPR at 1 % FPR "
        f"{percent(stayed['after_nats']['tpr_at_1pct'], 2)} %: "
        f"{_signed(stayed['rise']['tpr_at_1pct'], True)} and "
        f"{_signed(stayed['against_chance']['tpr_at_1pct'], True)} points"
    )
    arms = ("nats", "nothing", "chance")
    shares = [percent(unique[arm]["new_in_top"]) for arm in arms]
    means = [number(unique[arm]["mean_nats"], 2) for arm in arms]
    layers = (
        f"{removed}; of those with most nats {shares[0]} % are new, {shares[1]} % when nothing is "
        f"removed, {shares[2]} % after random removal; mean nats of those who stay {means[0]}, "
        f"{means[1]} and {means[2]}"
    )
    where = f" (removed from {_FROM[scope]})"
    return [
        Claim(
            f"onion_{scope}",
            f"Removing the most vulnerable points makes others vulnerable{where}",
            _ONION,
            attack,
            verdict(effects),
        ),
        Claim(
            f"new_layer_{scope}",
            f"When the most unique points are gone, others become the most unique ones{where}",
            _ONION,
            layers,
            verdict([interval(difference) for difference in new]),
        ),
        Claim(
            f"protects_{scope}",
            f"Censoring protects those who stay{where}",
            _CENSORING,
            attack,
            verdict([Interval(-e.mean, -e.high, -e.low) for e in effects]),
        ),
    ]


def _signed(entry: Mapping[str, Any], is_percent: bool = False) -> str:
    text = percent(entry, 2) if is_percent else number(entry, 3)
    return text if text.startswith(("-", "–")) else f"+{text}"
