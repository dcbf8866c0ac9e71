"""What the job shows: tables and figures; their words are in `report.html.jinja`."""

import polars as pl

from experiments.framework.results import Results
from experiments.inversion import attacks, defenses, showing
from experiments.inversion.analysis import strongest, with_attack
from experiments.inversion.claims import BROKEN, RULE, SAFE
from experiments.inversion.measuring import ERROR_THRESHOLD
from experiments.inversion.runs import Attacked, Plan
from experiments.report import figures
from experiments.report.formats import UNKNOWN, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate


def report(plan: Plan, attacked: Attacked, results: Results) -> Report:
    """Tables, figures and their page."""
    measured = {entry.measure for entry in results.entries}
    families = {label: defenses.methods()[name] for label, name in plan.families.items()}
    return Report(
        __file__,
        tables={
            **{m: showing.by_attack(results, m) for m in showing.FORMATS if m in measured},
            "defenses": tabulate(
                "Defenses",
                results,
                [
                    showing.DEFENSE,
                    Column("strength", "strength", plain("g")),
                    KeyColumn(
                        "which is", "defense", lambda label: families[label].meaning or UNKNOWN
                    ),
                    Column("examples per update", "examples_per_update", plain(".0f")),
                ],
            ),
            **_refusals(attacked),
            "attacks": Table(
                "Attacks",
                ("attack", "option", "what it does"),
                [[m.label, name, m.what] for name, m in attacks.methods().items()],
            ),
        },
        figures=_figures(plan, attacked, results),
        terminal=("success", "ssim", "psnr", "feature_error", "label_recovered", "claims"),
        claims_note=RULE,
        words={
            "plan": plan,
            "options": plan.options,
            "shown": showing.SHOWN,
            "safe": SAFE,
            "reading": _reading(plan, results),
            "adaptations": dict.fromkeys(a for f in families.values() for a in f.adaptations),
            "draws": defenses.Setting.draws,
            "error_threshold": ERROR_THRESHOLD,
        },
    )


def _refusals(attacked: Attacked) -> dict[str, Table]:
    """Where exact attacks could not be made, and why; the reason given first, of each pair."""
    frame = attacked.frame.with_columns(refused=pl.col("refusal").is_not_null())
    pairs = frame.group_by("defense", "attack", maintain_order=True).agg(
        pl.col("refused").mean(), pl.col("refusal").drop_nulls().first()
    )
    rows = [
        [defense, attacks.label(attack), f"{100 * share:.0f}", reason]
        for defense, attack, share, reason in pairs.filter(pl.col("refused") > 0).iter_rows()
    ]
    if not rows:
        return {}
    return {
        "refusals": Table(
            "Where the conditions of an exact attack do not hold",
            ("defense", "attack", "examples (%)", "which condition (of the first such update)"),
            rows,
            "The mean input stands for what is not found, and counts as a failure.",
        )
    }


def _reading(plan: Plan, results: Results) -> dict[str, list[str]]:
    """Which defenses were broken, which held, and which leave the input to be read off."""
    reading: dict[str, list[str]] = {"broken": [], "held": [], "exact": []}
    for label, family in plan.families.items():
        under = results.where(defense=label)
        closed = (n for n, m in attacks.methods().items() if m.kind == "closed form")
        if (name := strongest(under, list(closed))) is not None:
            success = under.get("success", attack=name)
            if success.mean > BROKEN:
                reading["exact"].append(f"{label} ({attacks.label(name)})")
        if family != "none" and (best := strongest(under)) is not None:
            success = under.get("success", attack=best)
            reading["held" if success.mean <= SAFE else "broken"].append(
                f"{label} ({percent()(success)} % under {attacks.label(best)})"
            )
    return reading


def _figures(plan: Plan, attacked: Attacked, results: Results) -> dict[str, Picture]:
    labels = list(plan.families)
    drawn = showing.pictures(results, labels, attacked, plan.space.is_image)
    searches = [name for name in attacks.compared() if attacks.methods()[name].kind == "search"]
    panels = {}
    for label in labels:
        if name := strongest(results.where(defense=label), searches):
            frame = with_attack(attacked.frame, label, name)
            panels[f"{label}\n({attacks.label(name)})"] = frame.select(
                "seed", "uniqueness", quality=plan.quality
            )
    if panels:
        threshold, name = (
            (plan.options.ssim_threshold, "SSIM")
            if plan.space.is_image
            else (ERROR_THRESHOLD, "relative error")
        )
        drawn["uniqueness"] = Picture(
            figures.quality_by_uniqueness(panels, threshold, f"{name} of the reconstruction"),
            "Quality of every reconstruction over the uniqueness of the example's gradient",
        )
    return drawn
