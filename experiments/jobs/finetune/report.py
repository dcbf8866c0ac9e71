"""The release card of a fine-tuned language model."""

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from experiments.framework.results import Results
from experiments.jobs.finetune.analysis import (
    AFTER,
    BEFORE,
    EXTRACTED,
    HAS_END,
    HELD_OUT,
    MEMBERS,
    findings,
)
from experiments.jobs.finetune.measure import FineTuned, Plan
from experiments.jobs.finetune.options import MEASURES, Options
from experiments.membership import release
from experiments.membership.assumptions import assumed_of_updates
from experiments.membership.defenses import Privacy
from experiments.membership.policy import Finding, decide
from experiments.report import figures
from experiments.report.card import Card
from experiments.report.page import Picture
from experiments.report.tables import Table, tabulate

_MOST = 8  # texts that the card shows


def report(plan: Plan, tuned: FineTuned, results: Results) -> Card:
    """Tables, figures, verdict and their page."""
    found = findings(plan, results)
    decision, kind = decide(found)
    assumed = assumptions(plan.options, tuned.privacy)
    return Card(
        __file__,
        tables={
            # Nats have a ceiling at every step, at which most texts may be.
            "exposed": _exposed_table(
                tuned.texts, ("nats", "mu"), "Texts of which the updates disclose most"
            ),
            "extracted": _exposed_table(
                tuned.texts.filter(HAS_END),
                ("suffix_log_probability",),
                "Texts that are extracted most easily",
            ),
            "extraction": _extraction_table(plan.options, results),
            "membership": _membership_table(plan.options, results),
            "spread": _spread_table(results),
        },
        figures=_figures(tuned, results, found),
        terminal=("extraction", "membership", "spread", "exposed"),
        remarks=list(map(str, found)),
        file="card.html",
        name="release card",
        words={
            "options": plan.options,
            "model": plan.language_model.name,
            "trained": tuned.trained,
            "epochs": plan.recipe.epochs,
            "decision": decision,
            "kind": kind,
            "findings": found,
            "any_extracted": any(results.get(name).mean > 0 for name in EXTRACTED),
            "with_an_end": results.get("texts_with_an_end", texts=MEMBERS).mean,
            "assumptions": assumed,
        },
        content={
            "verdict": decision,
            "policy": release.policy_content(found),
            "measures": {name: results.get(name).mean for name in MEASURES},
            "privacy": None if tuned.privacy is None else asdict(tuned.privacy),
            "assumptions": assumed,
        },
    )


def assumptions(options: Options, privacy: Privacy | None) -> list[str]:
    """What the numbers of the card assume, and do not promise."""
    return [
        "A text is the unit: the same sentence in two texts counts twice, and what a group of "
        "texts shares (a person, a company) is not covered.",
        f"Extraction: the attacker knows the first {options.prefix} tokens of a text exactly, and "
        "wants all of the rest, word for word. Other prompts, and nearly right continuations, may "
        "give away more.",
        _attacker(options),
        "What an attack on the released model finds is not predicted from this one run: that "
        "prediction is for one label per example, and a text is many that share their weights.",
        "The loss is the mean over a text's tokens; summed over them, long texts would disclose "
        "more.",
        *assumed_of_updates(options.relative_ridge, options.audit_every, privacy, "text"),
    ]


def _attacker(options: Options) -> str:
    """Whom the numbers of membership speak of."""
    means = (
        f"attacks among which LiRA knows how {options.references} models came out that were "
        f"fine-tuned in the same way, each on half of all {options.num_all} texts"
        if options.references
        else "attacks that need no shadow models (--references 8 adds LiRA)"
    )
    return (
        f"Membership: {means}, against texts of the same source. Better attacks may exist, so "
        "these numbers are lower bounds."
    )


def _exposed_table(texts: pl.DataFrame, by: Sequence[str], title: str) -> Table:
    ranked = texts.filter("member").sort(*by, descending=True, maintain_order=True)
    rows = []
    for row in ranked.head(_MOST).iter_rows(named=True):
        how = "yes" if row["extracted"] else "by draws" if row["extracted_by_draws"] else "no"
        losses = [f"{row[name]:.2f}" for name in ("loss_before", "loss")]
        rows.append([row["text"], f"{row['nats']:.3g}", f"{row['mu']:.3g}", *losses, how])
    columns = ["text", "nats", "μ", "loss before", "loss after", "extracted"]
    return Table(title, columns, rows)


def _extraction_table(options: Options, results: Results) -> Table:
    words = {
        "loss": ("loss (nats per token)", 1, ".2f"),
        "extracted": ("extracted by the likeliest continuation (%)", 100, ".0f"),
        "extracted_by_draws": (
            f"more likely than not within {options.draws} draws (%)",
            100,
            ".0f",
        ),
    }
    rows = [
        [
            heading,
            *(
                _interval(results, f"mean_{name}", scale, spec, texts=texts, when=when)
                for texts in (MEMBERS, HELD_OUT)
                for when in (BEFORE, AFTER)
            ),
        ]
        for name, (heading, scale, spec) in words.items()
    ]
    columns = ["", *(f"{t}, {w}" for t in (MEMBERS, HELD_OUT) for w in (BEFORE, AFTER))]
    note = (
        f"Extracted: the rest of a text, given its first {options.prefix} tokens. In brackets: "
        "95 % over texts, bootstrap of losses, exact of shares."
    )
    return Table("Loss and extraction of texts, before and after fine-tuning", columns, rows, note)


def _membership_table(options: Options, results: Results) -> Table:
    rows = [
        [
            words,
            _interval(results, "membership_auc", 100, ".1f", attack=attack),
            _interval(results, "membership_tpr_1pct", 100, ".1f", attack=attack),
        ]
        for attack, words in options.attacks.items()
    ]
    columns = ["attack by", "AUC (%)", "TPR at 1 % FPR (%)"]
    note = "In brackets: 95 %, bootstrap over texts. 50 and 1 are guessing."
    return Table("Membership of texts, seen from the released model", columns, rows, note)


def _interval(results: Results, measure: str, scale: float, spec: str, **keys: str) -> str:
    mean, low, high = (
        scale * results.get(measure, **keys, end=end).mean for end in ("mean", "low", "high")
    )
    return f"{mean:{spec}} ({low:{spec}} to {high:{spec}})"


def _spread_table(results: Results) -> Table:
    return tabulate(
        "What the updates disclosed, quantiles over the texts trained on",
        results,
        release.SPREAD,
        "Of who sees every update. Nats are the sum of ½ log(1 + GNQ) over steps; the membership "
        "bit holds at most log 2 = 0.693 nats, which a larger sum means may all be known. A step "
        "adds no more than that: texts that are all at the ceiling differ in μ.",
    )


def _figures(tuned: FineTuned, results: Results, found: Sequence[Finding]) -> dict[str, Picture]:
    loss = [("loss", release.epoch_curve(results, "loss"))]
    curves = figures.training_curves(
        results.values("epoch"),
        [("loss (nats per token)", loss), release.nats_panel(results)],
    )
    return {
        "distribution": release.nats_histogram(
            tuned.texts.filter("member"), found, "text", "Nats over the texts trained on"
        ),
        "curves": Picture(curves, "Loss and nats by epoch"),
    }
