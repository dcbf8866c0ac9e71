"""What the job shows; its words are in `report.html.jinja`."""

from experiments.framework.results import Results
from experiments.inversion import showing
from experiments.inversion.runs import Attacked
from experiments.jobs.federated.plan import Plan
from experiments.report.formats import plain
from experiments.report.page import Report
from experiments.report.tables import Column, KeyColumn, tabulate

_RECEIVED = KeyColumn("what the server receives", "defense")


def report(plan: Plan, attacked: Attacked, results: Results) -> Report:
    """Tables, figures and their page."""
    measured = {entry.measure for entry in results.entries}
    labels = [shared.label for shared in plan.attacked.shared_updates]
    qualities = [m for m in ("success", "ssim", "feature_error") if m in measured]
    return Report(
        __file__,
        tables={
            **{m: showing.by_attack(results, m, (_RECEIVED,)) for m in qualities},
            "updates": tabulate(
                "What is sent",
                results,
                [
                    _RECEIVED,
                    Column("clients in it", "clients", plain(".0f")),
                    Column("local steps", "local_steps", plain(".0f")),
                    Column("examples in it", "examples_per_update", plain(".0f")),
                ],
            ),
        },
        figures=showing.pictures(results, labels, attacked, plan.attacked.space.is_image),
        terminal=("success", "ssim", "feature_error", "claims"),
        words={"plan": plan, "options": plan.options, "shown": showing.SHOWN},
    )
