"""The two attackers of the card side by side: what each finds, and whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.framework.results import Results
from experiments.jobs.audit.analysis import EVERY_UPDATE_SEEN, MODEL_SEEN
from experiments.jobs.audit.measure import Audited, Plan
from experiments.jobs.audit.published import Published
from experiments.report.formats import UNKNOWN
from experiments.report.tables import Table
from gujax.assessment import verdict
from gujax.uniqueness import predicted_auc

_MOST = 8  # exposed examples that the card names
_CLASSES = 12
_ATTACK = {
    "auc": (100, "is how often the attacker, shown a member and an outsider, picks the member"),
    "tpr_1pct": (100, "members are found if 1 in 100 outsiders may be accused wrongly"),
    "tpr_01pct": (1000, "members are found if 1 in 1000 outsiders may be accused wrongly"),
    "example_auc": (100, "is how often the attacker picks the most exposed member"),
}
_GUESSING = {"auc": 50, "tpr_1pct": 1, "tpr_01pct": 1, "example_auc": 50}


@dataclass(frozen=True)
class Attacker:
    """One attacker as the card shows it.

    Attributes:
        title: What is seen.
        who: Who that is, sentences.
        found: Numbers with what they count.
        tables: Names of the tables of who is exposed.
    """

    title: str
    who: str
    found: Sequence[tuple[str, str]]
    tables: Sequence[str]


def attackers(results: Results) -> list[Attacker]:
    """The one whom everybody can be first, then the one who must have been there."""
    model = Attacker(
        "Sees the published model",
        "Has the model and asks it anything, as whoever downloads it can. Predicted, with the 95 % "
        "interval of another draw of the data.",
        _found(results, MODEL_SEEN),
        ("exposed_model", "classes_model"),
    )
    update = Attacker(
        "Sees every update",
        "Watched the whole training as well, as the server of federated learning does. An upper "
        "bound, to go by where updates leave the house.",
        _found(results, EVERY_UPDATE_SEEN),
        ("exposed_update", "classes_update"),
    )
    return [model, update]


def judgement(published: Published) -> tuple[str, str]:
    """What the predicted attack means, a sentence, and "good", "bad" or "neutral"."""
    if published.assessment is None:
        return "No prediction: nothing here allows one. Do not take this for safety.", "neutral"
    return verdict(published.assessment, None)


def summary(published: Published) -> dict[str, Any]:
    """What `card.json` holds of the predicted attack."""
    found = published.assessment
    return {"unsafe": list(published.unsafe)} if found is None else found.summary()


def attack_tables(plan: Plan, audited: Audited, results: Results) -> dict[str, Table]:
    """Both attacks, and who is exposed to each; without a prediction, to the one alone."""
    totals = audited.totals
    mu, shift = totals["mu"].to_numpy(), totals["predicted_shift"].to_numpy()
    exposed = {
        "update": (EVERY_UPDATE_SEEN, np.asarray(predicted_auc(mu)), mu),
        "model": (MODEL_SEEN, totals["predicted_auc"].to_numpy(), shift),
    }
    tables = {"attackers": _attackers_table(results)}
    for name, (attacker, auc, by) in exposed.items():
        if np.isfinite(auc).all():
            tables[f"exposed_{name}"] = _exposed_table(plan, audited, auc, by)
            tables[f"classes_{name}"] = _classes_table(results, attacker)
    return tables


def of_100(share: float) -> str:
    """A share in words that stay true near 1."""
    return "> 99" if share > 0.995 else f"{100 * share:.0f}"


def _attackers_table(results: Results) -> Table:
    rows = [
        [
            f"{words}: of {of} (guessing: {_GUESSING[measure]})",
            *(_interval(results, measure, who, of) for who in (MODEL_SEEN, EVERY_UPDATE_SEEN)),
        ]
        for measure, (of, words) in _ATTACK.items()
    ]
    columns = ["", "sees the published model (95 %)", "sees every update (at most)"]
    return Table("What the best attack finds", columns, rows)


def _exposed_table(
    plan: Plan,
    audited: Audited,
    auc: Float[np.ndarray, " examples"],
    by: Float[np.ndarray, " examples"],
) -> Table:
    ids, labels = (audited.totals[name].to_list() for name in ("id", "label"))
    most = np.argsort(-by, kind="stable")[:_MOST].tolist()
    return Table(
        "Most exposed training examples",
        ["id", "class", "picked, of 100"],
        [[str(ids[i]), plan.task.class_names[labels[i]], of_100(auc[i])] for i in most],
    )


def _classes_table(results: Results, attacker: str) -> Table:
    rows = []
    for (label,), of_class in results.groups("label"):
        mean, most = (
            of_class.get(name, attacker=attacker).mean for name in ("mean_auc", "max_auc")
        )
        count = f"{of_class.get('examples').mean:.0f}"
        rows.append((-mean, [str(label), count, of_100(mean), of_100(most)]))
    rows.sort(key=lambda row: row[0])
    return Table(
        "Most exposed classes",
        ["class", "examples", "picked, of 100", "the most exposed"],
        [row for _, row in rows[:_CLASSES]],
    )


def _found(results: Results, attacker: str) -> list[tuple[str, str]]:
    return [
        (
            f"{_interval(results, measure, attacker, of)} of {of}",
            f"{words}; {_GUESSING[measure]} is guessing",
        )
        for measure, (of, words) in _ATTACK.items()
        if measure in ("auc", "tpr_1pct")
    ]


def _interval(results: Results, measure: str, attacker: str, scale: int) -> str:
    ends = (results.find(measure, attacker=attacker, end=end) for end in ("mean", "low", "high"))
    mean, low, high = (np.nan if end is None else scale * end.mean for end in ends)
    if np.isnan(mean):
        return UNKNOWN if np.isnan(high) else f"at most {high:.0f}"
    return f"{mean:.0f}" if np.isnan(low) else f"{mean:.0f} ({low:.0f} to {high:.0f})"
