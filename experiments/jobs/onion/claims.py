"""What the onion says about the papers' claims; the rules were fixed before the first run.

All effects are differences of paired measurements, one per seed, after the last round, on the pairs
of model and example that neither the removal by nats nor the removal at random took away; "before"
is measured on models of other randomness than those that were audited (`rounds`). Verdicts follow
from their 95 % t-intervals (`experiments.framework.claims.verdict`).

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

from collections.abc import Sequence

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.onion.measure import Plan
from experiments.report.formats import number, percent, signed

_ONION = "Carlini et al. 2022 (arXiv 2206.10469)"
_CENSORING = "GNQ v1 (arXiv 2510.10902), implied by its defense"
_FROM = {"model": "each model's training set", "data": "the pool of examples"}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims, for each scope that was run."""
    return [
        claim
        for scope in plan.scopes
        for claim in of_scope(scope, results.where(scope=scope, round=plan.options.rounds))
    ]


def of_scope(scope: str, last: Results) -> Sequence[Claim]:
    """The claims about one scope, from the results of its last round."""

    def lira(measure: str, arm: str) -> Measured:
        return last.get(measure, pairs="survivors", arm=arm)

    def against(measure: str, arm: str) -> Measured:
        return lira(measure, "nats") - lira(measure, arm)

    def of_arms(measure: str) -> list[Measured]:
        return [last.get(measure, arm=arm) for arm in ("nats", "nothing", "chance")]

    effects = [
        against(measure, arm) for arm in ("nothing", "chance") for measure in ("auc", "tpr_at_1pct")
    ]
    removed = f"{percent()(last.get('removed_share'))} % removed from {_FROM[scope]}"
    auc, tpr = number(3), percent(2)
    attack = (
        f"{removed}; AUC on those who stay {auc(lira('auc', 'nats'))}: "
        f"{signed(auc(against('auc', 'nothing')))} against before, "
        f"{signed(auc(against('auc', 'chance')))} against random removal; TPR at 1 % FPR "
        f"{tpr(lira('tpr_at_1pct', 'nats'))} %: "
        f"{signed(tpr(against('tpr_at_1pct', 'nothing')))} and "
        f"{signed(tpr(against('tpr_at_1pct', 'chance')))} points"
    )
    new = of_arms("new_in_top")
    shares, means = map(percent(), new), map(number(2), of_arms("mean_nats"))
    layers = (
        "{}; of those with most nats {} % are new, {} % when nothing is removed, {} % after random "
        "removal; mean nats of those who stay {}, {} and {}"
    ).format(removed, *shares, *means)
    where = f" (removed from {_FROM[scope]})"
    return [
        test(
            f"onion_{scope}",
            f"Removing the most vulnerable points makes others vulnerable{where}",
            _ONION,
            attack,
            effects,
        ),
        test(
            f"new_layer_{scope}",
            f"When the most unique points are gone, others become the most unique ones{where}",
            _ONION,
            layers,
            [new[0] - other for other in new[1:]],
        ),
        test(
            f"protects_{scope}",
            f"Censoring protects those who stay{where}",
            _CENSORING,
            attack,
            [-effect for effect in effects],
        ),
    ]
