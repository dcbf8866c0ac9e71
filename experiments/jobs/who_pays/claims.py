"""What the study says about the papers' claims; the rules were fixed before the first run.

All effects are paired by seed and positive where rare groups have the worse of it. Every claim
needs two contrasts: rare groups against common ones in the imbalanced data, which is what the
papers compare; and rare groups against the same groups in the data as it is, for a group may be
hard without being rare.

- pays_<mechanism>: the mechanism costs rare groups more accuracy. Effects: accuracy lost against
  plain SGD by the rare groups, minus that by the common ones, and minus that by the same groups in
  the data as it is.
- exposed: rare groups are more exposed. Effects: both contrasts of LiRA's AUC and of its TPR at 1 %
  false positives under plain SGD, within the groups.
- taken_<mechanism>: rare groups are over-represented among what a mechanism takes away. Effects:
  share among what is taken over share among the members, minus 1, and minus that ratio in the data
  as it is.

Verdicts follow from the effects' 95 % t-intervals (`experiments.framework.claims.verdict`).
"""

from collections.abc import Sequence

from experiments.framework.claims import Claim, test
from experiments.framework.results import Results
from experiments.jobs.who_pays.analysis import EXPOSURES, Rarity, rarity, takes_away
from experiments.jobs.who_pays.measure import Plan
from experiments.membership.defenses import Defense
from experiments.report.formats import number, percent

_BAGDASARYAN = "Bagdasaryan et al. 2019 (arXiv 1905.12101)"
_REVIEWERS = "asked by reviewers of GNQ v1 (arXiv 2510.10902)"
_NAMES = {
    "dp_sgd": "DP-SGD",
    "gate": "Gating by uniqueness",
    "censor": "Censoring by uniqueness",
    "clip": "Clipping by uniqueness",
    "budget": "A disclosure budget",
}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims about every defense that was run."""
    plain, *others = plan.options.chosen
    named = {_mechanism(defense, others): defense for defense in others}
    auc, tpr = (rarity(results, measure, plain.label) for measure in EXPOSURES)
    return [
        *(
            _cost(mechanism, defense, rarity(results, "accuracy_lost", defense.label))
            for mechanism, defense in named.items()
        ),
        _exposed(auc, tpr),
        *(
            _taken(mechanism, defense, rarity(results, "over_representation", defense.label))
            for mechanism, defense in named.items()
            if takes_away(defense)
        ),
    ]


def _mechanism(defense: Defense, others: Sequence[Defense]) -> str:
    """The family, with the strength if the family was run with several."""
    several = sum(other.family == defense.family for other in others) > 1
    return f"{defense.family}_{defense.strength:g}" if several else defense.family


def _cost(mechanism: str, defense: Defense, lost: Rarity) -> Claim:
    carried = "" if defense.family == "dp_sgd" else ", carried over to the defenses of GNQ"
    rare, common, as_it_is = map(percent(), lost)
    return test(
        f"pays_{mechanism}",
        f"{_NAMES.get(defense.family, defense.label)} costs rare groups more accuracy",
        _BAGDASARYAN + carried,
        f"{defense.label}: rare groups lose {rare} points, common ones {common}, the same groups "
        f"when they are not rare {as_it_is}",
        lost.contrasts,
    )


def _exposed(auc: Rarity, tpr: Rarity) -> Claim:
    rare, common, as_it_is = map(number(3), auc)
    rates = "{}, {} and {} %".format(*map(percent(), tpr))
    return test(
        "exposed",
        "Rare groups are more exposed to membership inference",
        _REVIEWERS,
        f"LiRA on plain SGD: AUC {rare} on rare groups, {common} on common ones, {as_it_is} on the "
        f"same groups when they are not rare; TPR at 1 % FPR {rates}",
        auc.contrasts + tpr.contrasts,
    )


def _taken(mechanism: str, defense: Defense, taken: Rarity) -> Claim:
    return test(
        f"taken_{mechanism}",
        f"{_NAMES.get(defense.family, defense.label)} takes away more of rare groups than their "
        "share",
        _REVIEWERS,
        f"{defense.label}: {number(2)(taken.rare)} times their share; the same groups when they "
        f"are not rare {number(2)(taken.rare_as_it_is)} times",
        [taken.rare - 1, taken.rare - taken.rare_as_it_is],
    )
