"""What the job shows; its words are in `report.html.jinja`."""

from experiments.framework.results import Results
from experiments.jobs.invert_texts.measure import Attacked
from experiments.jobs.invert_texts.plan import Plan
from experiments.report import figures
from experiments.report.figures import BarPanel, Bars
from experiments.report.formats import UNKNOWN, number, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.style import BLUE
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from experiments.tasks.language import Bytes

_SAMPLES = 4  # texts of each defense


def report(plan: Plan, attacked: Attacked, results: Results) -> Report:
    """Tables, a figure and their page."""
    recovered = [
        results.get("tokens_recovered", defense=shared.label).share
        for shared in plan.shared_updates
    ]
    bars = Bars("DAGER", BLUE, recovered)
    figure = figures.bar_panels(
        [[BarPanel("", "tokens recovered", [bars], in_percent=True)]],
        [shared.label for shared in plan.shared_updates],
    )
    return Report(
        __file__,
        tables={
            "recovered": tabulate(
                "What DAGER reads of the texts behind an update",
                results,
                [
                    KeyColumn("defense", "defense"),
                    Column("texts per update", "texts_per_update", plain(".0f")),
                    Column("inputs per update", "inputs_per_update", plain(".0f")),
                    Column("tokens recovered (%)", "tokens_recovered", percent()),
                    Column("texts recovered (%)", "texts_recovered", percent()),
                    Column("found, but in no update", "false_texts", number(1)),
                    Column("refused (%)", "refused", percent()),
                ],
                "Inputs: different beginnings of the texts, which the second layer tells apart; "
                f"fewer than {plan.options.width - 1} are needed. Tokens: at the right place of "
                "the found text that is nearest. Texts: whole and exact. Of the "
                f"{plan.options.context + 1} bytes of a text the last is only predicted, never "
                "read. Refused: a condition of the attack does not hold, and it says which; "
                "nothing is recovered then. Mean over seeds ± 95 % t-interval.",
            ),
            **_refusals(attacked),
            "samples": _samples(plan, attacked),
        },
        figures={"recovered": Picture(figure, "Share of tokens that DAGER recovers, by defense")},
        terminal=("recovered", "refusals", "claims"),
        words={"plan": plan, "options": plan.options},
    )


def _refusals(attacked: Attacked) -> dict[str, Table]:
    counts = (
        attacked.frame.drop_nulls("refusal")
        .group_by("defense", "refusal", maintain_order=True)
        .len()
    )
    if counts.is_empty():
        return {}
    rows = [list(map(str, row)) for row in counts.iter_rows()]
    title = "Where DAGER cannot be made, and why"
    return {"refusals": Table(title, ("defense", "reason", "updates"), rows)}


def _samples(plan: Plan, attacked: Attacked) -> Table:
    rows = []
    for shared in plan.shared_updates:
        of_defense = [sample for sample in attacked.samples if sample.defense == shared.label]
        for _, truth, found in of_defense[:_SAMPLES]:
            shown = UNKNOWN if found is None else _quoted(found)
            rows.append([shared.label, _quoted(truth), shown])
    return Table(
        "The first update of the first seed",
        ("defense", "text", "what was found nearest"),
        rows,
        f"At most {_SAMPLES} texts of each. A dash: the attack refused.",
    )


def _quoted(tokens) -> str:
    return f"“{Bytes().decode(tokens.tolist())}”"
