"""A reviewer's checklist, each line filled from the run."""

from collections.abc import Collection, Iterator

import numpy as np

from experiments.framework.results import Results
from experiments.jobs.compare.analysis import OUT_OF_FOLD
from experiments.jobs.compare.measure import Compared, Plan
from experiments.membership.analysis import between
from experiments.membership.attacks import ATTACKS
from experiments.membership.canaries import ordinary
from experiments.report.formats import format_interval, format_range
from experiments.report.tables import Table
from gujax.data import Canaries, near_duplicates


def checklist(plan: Plan, compared: Compared, results: Results) -> Table:
    """What a reviewer asks of a comparison of defenses, and what this run answers."""
    rows = [list(row) for row in _rows(plan, compared, results)]
    return Table("A reviewer's checklist", ("asked", "in this run"), rows)


def _rows(plan: Plan, compared: Compared, results: Results) -> Iterator[tuple[str, str]]:
    options, search = plan.options, plan.book.search
    plain = compared.defenses[0].defense.label
    runs = [*compared.defenses, *compared.fronts]
    # Of 6 models or more the target's complement is none of its shadows.
    shadows = options.shadow_models - (2 if options.shadow_models >= 6 else 1)
    yield (
        "threat model",
        "the attacker sees the final model's logits, knows the defense, and trains "
        f"{shadows} shadow models with it; prior of membership 1/2",
    )
    best = {
        label: list(ATTACKS.values())[int(row.get("best_attack").mean)]
        for (label,), row in results.groups("defense")
    }
    yield (
        "attacks",
        f"{', '.join(ATTACKS.values())}; reported is their maximum. Best was: "
        + ", ".join(f"{attack} on {label}" for label, attack in best.items())
        + ". Not run: attacks on labels alone, and by quantile regression",
    )
    tried = search.get("tried", {})
    yield (
        "tuning budget",
        (
            "configurations tried: " + ", ".join(f"{name} {count}" for name, count in tried.items())
            if tried
            else "recipes were given without a record of their search"
        )
        + ("" if _own_search(plan) else "; not searched for on this data set with this model")
        + f". Strengths and epochs: {len(runs)} settings, "
        + ", ".join(f"{name} {count}" for name, count in _per_front(runs).items()),
    )
    yield (
        "seeds",
        f"{options.seeds}, from {options.first_seed}, with {options.shadow_models} models for each "
        f"of {len(runs)} settings: random halves in which every example is in half of the models, "
        "the same for all settings",
    )
    yield (
        "selection",
        "recipes by accuracy on halves of the training split, the test split not seen; the "
        "examples that are attacked are those of that split; the best attack, and "
        "the settings that make a front, on other seeds than those they are measured on"
        + ("" if options.seeds > 1 else " (not here: there is one seed only)"),
    )
    yield "who is worst off", _worst(plan, results)
    low = between(results.where(defense=plain), "best_tpr_at_01pct")
    yield (
        "low false-positive rates",
        f"{plain} at 1 %: {format_range(between(results.where(defense=plain)))} % found; at 0.1 %: "
        f"{format_range(low)} %. A seed has {_non_members(plan, compared)} pairs of a model and a "
        "non-member",
    )
    yield "canaries", _canaries(plan, results, {run.defense.front for run in runs})
    yield "time", _time(results)


def _own_search(plan: Plan) -> bool:
    search = plan.book.search
    model = search.get("model", plan.task.model_name)
    return plan.book.dataset == plan.task.dataset.name and model == plan.task.model_name


def _per_front(runs) -> dict[str, int]:
    fronts = [run.defense.front for run in runs]
    return {name: fronts.count(name) for name in dict.fromkeys(fronts)}


def _non_members(plan: Plan, compared: Compared) -> str:
    plain = ordinary(compared.defenses[0], plan.task).seeds[0]
    return f"{int((~plain.members).sum()):,}"


def _worst(plan: Plan, results: Results) -> str:
    names = plan.task.class_names
    found = []
    for (label,), row in results.groups("defense"):
        text = f"{label} class {names[int(row.get('worst_class_found_is').mean)]}, "
        text += f"{format_interval(row.get('worst_class_found').interval, percent=True)} %"
        if (group := row.find("worst_subgroup_found")) is not None:
            text += f", subgroup {int(row.get('worst_subgroup_found_is').mean)}, "
            text += f"{format_interval(group.interval, percent=True)} %"
        found.append(text)
    named = "" if plan.task.dataset.train.subgroups is not None else "; there are no subgroups"
    return f"by LiRA, at 1 % false positives of its own: {'; '.join(found)}{named}"


def _canaries(plan: Plan, results: Results, fronts: Collection[str]) -> str:
    made = plan.task.canaries
    if made is None:
        return "none in this run; --canaries mislabelled or near_duplicates puts some in"
    found = ", ".join(
        f"{label} {format_range(between(row))} %"
        for (label,), row in results.where(examples="canaries").groups("defense")
    )
    count = len(np.unique(made.groups[np.isin(made.split.ids, made.ids)]))
    kind = "mislabelled"
    if plan.options.canaries == "near_duplicates":
        kind += f", with copies {plan.options.canary_noise:g} standard deviations away"
        if OUT_OF_FOLD in fronts:
            kind += (
                f"; out of fold takes all of a group for near-duplicates in {_kept_together(made)} "
                "cases: --canary-noise puts copies where it does not"
            )
    return f"{count} {kind}; of them are found at 1 % false positives: {found}"


def _kept_together(made: Canaries) -> int:
    """How many canaries have all their copies in their group of near-duplicates."""
    alike = near_duplicates(made.split.x)
    chosen = np.isin(made.split.ids, made.ids)
    return sum(
        len(np.unique(alike[made.groups == group])) == 1 for group in np.unique(made.groups[chosen])
    )


def _time(results: Results) -> str:
    seconds = {label: row.get("seconds").values for (label,), row in results.groups("setting")}
    total = sum(float(np.sum(values)) for values in seconds.values())
    slowest = max(seconds, key=lambda label: seconds[label].sum())
    return (
        f"{total / 60:.0f} minutes of training and attacks; longest {slowest}, "
        f"{seconds[slowest].sum() / 60:.1f} minutes"
    )
