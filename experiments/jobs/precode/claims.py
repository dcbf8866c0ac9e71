"""Claims of the literature on bottlenecks: what attacks reach, and what accuracy is lost."""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import interval, over_seeds, percent
from experiments.jobs.invert.claims import ADAPTIVE, CVB, PRECODE, bottleneck_claims, key_of

LOSS_LIMIT = 0.02  # of accuracy: a smaller loss counts as almost none

_SOURCES = {"precode": PRECODE, "ppp": ADAPTIVE, "cvb": CVB}


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """All claims that the run tested, each over all of its networks.

    Args:
        summary: What `analysis.summarize` returned.
    """
    networks = {name: entry["defenses"] for name, entry in summary["networks"].items()}
    found = bottleneck_claims(networks)
    for label in dict.fromkeys(label for defenses in networks.values() for label in defenses):
        entries = {name: d[label] for name, d in networks.items() if label in d}
        family = next(iter(entries.values()))["family"]
        if family in _SOURCES:
            found.append(_keeps_accuracy(label, family, entries))
    return found


def _keeps_accuracy(label: str, family: str, entries: Mapping[str, Mapping[str, Any]]) -> Claim:
    lost = {name: entry["training"]["difference"] for name, entry in entries.items()}
    effects = [over_seeds([x + LOSS_LIMIT for x in entry["per_seed"]]) for entry in lost.values()]
    return Claim(
        f"{key_of(label)}_keeps_accuracy",
        f"{label} costs almost no accuracy (less than {100 * LOSS_LIMIT:.0f} points).",
        _SOURCES[family],
        "; ".join(f"{name}: difference {percent(entry)} points" for name, entry in lost.items()),
        verdict([interval(effect) for effect in effects]),
    )
