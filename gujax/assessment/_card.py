"""The card: may this model be published, who is exposed, and how sure is that."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gujax._extras import extra
from gujax.assessment._policy import Decision
from gujax.statistics import Interval

_MOST = 10  # exposed examples that the card names
_CLASSES = 12
_LITTLE = (0.55, 0.02)  # AUC and TPR at 1 % FPR up to which an attack finds next to nothing
_MUCH = (0.70, 0.10)  # from which it finds much


class Assessed(Protocol):
    """What the card shows: an `Assessment`."""

    @property
    def label(self) -> np.ndarray: ...

    @property
    def members(self) -> np.ndarray: ...

    @property
    def right(self) -> np.ndarray: ...

    @property
    def unsafe(self) -> tuple[str, ...]: ...

    @property
    def calibrated(self) -> bool: ...

    @property
    def auc(self) -> Interval: ...

    @property
    def table(self) -> dict[str, np.ndarray]: ...

    def tpr(self, fpr: float) -> Interval: ...


def render(assessment: Assessed, decision: Decision | None) -> str:
    """The card as a page of its own.

    Raises:
        ModuleNotFoundError: jinja2 is missing; the message names the extra.
    """
    with extra("cards"):
        import jinja2
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.html.jinja").render(
        it=assessment,
        decision=decision,
        verdict=verdict(assessment, decision),
        tpr=assessment.tpr(0.01),
        tpr_strict=assessment.tpr(0.001),
        exposed=_most_exposed(assessment),
        classes=_by_class(assessment),
        accuracy=[
            float(assessment.right[side].mean())
            for side in (assessment.members, ~assessment.members)
        ],
        counts=[int(assessment.members.sum()), int((~assessment.members).sum())],
    )


def verdict(assessment: Assessed, decision: Decision | None) -> tuple[str, str]:
    """The first sentence of the card, and "good", "bad" or "neutral"."""
    if decision is not None:
        if decision:
            return "The limits are kept: by them, this model may be published.", "good"
        return "Do not publish: the limits are not kept for certain.", "bad"
    if not assessment.calibrated:
        return "No prediction: nothing here allows one. Do not take this for safety.", "neutral"
    if assessment.unsafe:
        return "The prediction is not safe to rely on; the reasons are below.", "bad"
    auc, tpr = assessment.auc.high, assessment.tpr(0.01).high
    if auc <= _LITTLE[0] and tpr <= _LITTLE[1]:
        return "Little is exposed: the best attack is hardly better than guessing.", "good"
    if auc >= _MUCH[0] or tpr >= _MUCH[1]:
        return "Much is exposed: an attack finds many of the members with certainty.", "bad"
    return "Something is exposed: most members are safe, some are not.", "neutral"


def _most_exposed(assessment: Assessed) -> list[dict[str, Any]]:
    """Members, the most exposed first."""
    if not assessment.calibrated:
        return []
    table = assessment.table
    members = assessment.members.nonzero()[0]
    order = members[np.argsort(-table["mu"][members], kind="stable")][:_MOST]
    return [{name: column[j].item() for name, column in table.items()} for j in order]


def _by_class(assessment: Assessed) -> list[dict[str, Any]]:
    """Classes of members, the most exposed first."""
    if not assessment.calibrated:
        return []
    table, rows = assessment.table, []
    for label in np.unique(assessment.label[assessment.members]):
        chosen = assessment.members & (assessment.label == label)
        auc, tpr = table["auc"][chosen], table["tpr_1pct"][chosen]
        row = {"label": label, "count": chosen.sum(), "auc": auc.mean(), "worst": auc.max()}
        rows.append({**row, "tpr": tpr.mean()})
    return sorted(rows, key=lambda row: -row["tpr"])[:_CLASSES]
