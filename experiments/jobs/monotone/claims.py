"""What the run says about the papers' claims on GNQ and attack success."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import differences, interval, number, over_seeds

_V1, _V2 = "arXiv 2510.10902 v1", "arXiv 2510.10902 v2"


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """The claims with their verdicts, see `experiments.framework.claim`.

    Args:
        summary: What `analysis.summarize` returned.
    """
    entries = summary["estimators"]
    exact = _first(entries, "exact")
    diagonal, norm = _first(entries, "diagonal"), _first(entries, "norm")
    curves = {name: entries[name]["success"]["lira_auc"] for name in (exact, diagonal, norm)}
    return [
        _rises(
            "attack_rises_with_gnq", f"{_V2} (attack success over quantile bins)", curves, exact
        ),
        _rises("attack_rises_with_diagonal_gnq", f"{_V1} (correlation)", curves, diagonal),
        _u_curve("u_curve_over_gnq", "reviewers' question on v1", curves, exact),
        _u_curve("u_curve_over_diagonal_gnq", f"{_V1} (figure; reviewers)", curves, diagonal),
        _ranks_better("gnq_ranks_better_than_gradient_norm", _V2, curves, exact, norm),
        _ranks_better("gnq_ranks_better_than_diagonal", _V2, curves, exact, diagonal),
    ]


def shorter_arm(curve: Mapping[str, Any]) -> dict[str, Any]:
    """The shorter arm of a U-curve over seeds: a U has two."""
    return over_seeds(np.minimum(curve["left_arm"]["per_seed"], curve["right_arm"]["per_seed"]))


def _first(entries: Mapping[str, Any], kind: str) -> str:
    return next(label for label, entry in entries.items() if entry["kind"] == kind)


def _rises(key: str, source: str, curves: Mapping[str, Any], name: str) -> Claim:
    curve = curves[name]
    effects = [curve["spearman"], curve["rise"]]
    return Claim(
        key,
        f"The larger its GNQ ({name}), the better a membership attack does on an example.",
        source,
        f"LiRA: Spearman {number(effects[0], 2)}; AUC of the last decile minus that of the first "
        f"{number(effects[1], 3)}; a curve that never falls explains "
        f"{100 * curve['isotonic']['mean']:.0f} % of the variance between deciles",
        verdict([interval(effect) for effect in effects]),
    )


def _u_curve(key: str, source: str, curves: Mapping[str, Any], name: str) -> Claim:
    curve = curves[name]
    return Claim(
        key,
        f"Attack success over GNQ ({name}) is a U: the least unique examples are attacked better "
        "than those in the middle.",
        source,
        f"LiRA's AUC above the lowest decile in between: first decile "
        f"{number(curve['left_arm'], 3)}, last {number(curve['right_arm'], 3)}",
        verdict([interval(shorter_arm(curve))]),
    )


def _ranks_better(
    key: str, source: str, curves: Mapping[str, Any], better: str, worse: str
) -> Claim:
    one, other = curves[better]["spearman"], curves[worse]["spearman"]
    gain = differences(one, other)
    return Claim(
        key,
        f"Attack success follows GNQ ({better}) more closely than the measure '{worse}'.",
        source,
        f"Spearman with LiRA's AUC per example: {number(one, 2)} against {number(other, 2)}, "
        f"difference {number(gain, 3)}",
        verdict([interval(gain)]),
    )
