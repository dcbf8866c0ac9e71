"""What the run says about the papers' claims on GNQ and attack success."""

import numpy as np

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.monotone.measure import Plan
from experiments.report.formats import number, plain

_V1, _V2 = "arXiv 2510.10902 v1", "arXiv 2510.10902 v2"


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims with their verdicts, from LiRA's AUC per example."""
    lira = results.where(success="lira_auc")
    exact, diagonal, norm = (plan.first(kind) for kind in ("exact", "diagonal", "norm"))
    return [
        _rises("attack_rises_with_gnq", f"{_V2} (attack success over quantile bins)", lira, exact),
        _rises("attack_rises_with_diagonal_gnq", f"{_V1} (correlation)", lira, diagonal),
        _u_curve("u_curve_over_gnq", "reviewers' question on v1", lira, exact),
        _u_curve("u_curve_over_diagonal_gnq", f"{_V1} (figure; reviewers)", lira, diagonal),
        _ranks_better("gnq_ranks_better_than_gradient_norm", lira, exact, norm),
        _ranks_better("gnq_ranks_better_than_diagonal", lira, exact, diagonal),
    ]


def _rises(key: str, source: str, lira: Results, name: str) -> Claim:
    curve = lira.where(estimator=name)
    effects = [curve.get("spearman"), curve.get("rise")]
    return test(
        key,
        f"The larger its GNQ ({name}), the better a membership attack does on an example.",
        source,
        f"LiRA: Spearman {number(2)(effects[0])}; AUC of the last decile minus that of the first "
        f"{number(3)(effects[1])}; a curve that never falls explains "
        f"{plain('.0f', 100)(curve.get('isotonic'))} % of the variance between deciles",
        effects,
    )


def _u_curve(key: str, source: str, lira: Results, name: str) -> Claim:
    left, right = (lira.get(arm, estimator=name) for arm in ("left_arm", "right_arm"))
    return test(
        key,
        f"Attack success over GNQ ({name}) is a U: the least unique examples are attacked better "
        "than those in the middle.",
        source,
        f"LiRA's AUC above the lowest decile in between: first decile {number(3)(left)}, last "
        f"{number(3)(right)}",
        [Measured(np.minimum(left.values, right.values))],  # a U has two arms
    )


def _ranks_better(key: str, lira: Results, better: str, worse: str) -> Claim:
    one, other = (lira.get("spearman", estimator=name) for name in (better, worse))
    return test(
        key,
        f"Attack success follows GNQ ({better}) more closely than the measure '{worse}'.",
        _V2,
        f"Spearman with LiRA's AUC per example: {number(2)(one)} against {number(2)(other)}, "
        f"difference {number(3)(one - other)}",
        [one - other],
    )
