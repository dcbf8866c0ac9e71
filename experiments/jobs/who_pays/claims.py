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

Verdicts follow from the effects' 95 % t-intervals (`experiments.framework.claim.verdict`).
"""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import interval, number, over_seeds, percent
from experiments.jobs.who_pays.analysis import EXPOSURES, IMBALANCED

_BAGDASARYAN = "Bagdasaryan et al. 2019 (arXiv 1905.12101)"
_REVIEWERS = "asked by reviewers of GNQ v1 (arXiv 2510.10902)"
_NAMES = {
    "dp_sgd": "DP-SGD",
    "gate": "Gating by uniqueness",
    "censor": "Censoring by uniqueness",
    "clip": "Clipping by uniqueness",
    "budget": "A disclosure budget",
}
_CONTRASTS = ("over_common", "by_rarity")


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """The claims about every defense that was run."""
    effects = summary["effects"]
    entries = summary["variants"][IMBALANCED]["defenses"]
    found = [
        _cost(label, entries[label]["family"], effect) for label, effect in effects["cost"].items()
    ]
    plain = next(iter(entries))
    found.append(_exposed(effects["exposure"][plain]))
    found += [
        _taken(label, entries[label]["family"], effect)
        for label, effect in effects["over_representation"].items()
    ]
    return found


def _cost(label: str, family: str, effect: Mapping[str, Any]) -> Claim:
    source = _BAGDASARYAN
    if family != "dp_sgd":
        source += ", carried over to the defenses of GNQ"
    return Claim(
        f"pays_{family}",
        f"{_NAMES[family]} costs rare groups more accuracy",
        source,
        f"{label}: rare groups lose {percent(effect['rare'])} points, common ones "
        f"{percent(effect['common'])}, the same groups when they are not rare "
        f"{percent(effect['rare_as_it_is'])}",
        verdict([interval(effect[contrast]) for contrast in _CONTRASTS]),
    )


def _exposed(effect: Mapping[str, Any]) -> Claim:
    auc, tpr = (effect[measure] for measure in EXPOSURES)
    return Claim(
        "exposed",
        "Rare groups are more exposed to membership inference",
        _REVIEWERS,
        f"LiRA on plain SGD: AUC {number(auc['rare'], 3)} on rare groups, "
        f"{number(auc['common'], 3)} on common ones, {number(auc['rare_as_it_is'], 3)} on the same "
        f"groups when they are not rare; TPR at 1 % FPR {percent(tpr['rare'])}, "
        f"{percent(tpr['common'])} and {percent(tpr['rare_as_it_is'])} %",
        verdict([interval(e[contrast]) for e in (auc, tpr) for contrast in _CONTRASTS]),
    )


def _taken(label: str, family: str, effect: Mapping[str, Any]) -> Claim:
    even = over_seeds([ratio - 1 for ratio in effect["rare"]["per_seed"]])
    return Claim(
        f"taken_{family}",
        f"{_NAMES[family]} takes away more of rare groups than their share",
        _REVIEWERS,
        f"{label}: {number(effect['rare'], 2)} times their share; the same groups when they are "
        f"not rare {number(effect['rare_as_it_is'], 2)} times",
        verdict([interval(even), interval(effect["by_rarity"])]),
    )
