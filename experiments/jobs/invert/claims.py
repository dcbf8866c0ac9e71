"""Claims of the literature that the job can test on what it was asked to run.

An effect is a difference of success rates, paired by seed; the success on a defense is that of the
strongest attack made on it, unless the claim is about another.
"""

from collections.abc import Iterator

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Measured, Results
from experiments.inversion.analysis import strongest
from experiments.inversion.claims import BROKEN, bottleneck_claims
from experiments.inversion.runs import Plan
from experiments.report.formats import number, percent

_ALWAYS = 0.99  # more than this share counts as always

_GEIPING = "Geiping et al. 2020 (arXiv 2003.14053), section 5"
_ZHAO = "Zhao et al. 2020 (arXiv 2001.02610), section 3"
_ZHU = "Zhu et al. 2019 (arXiv 1906.08935), section 5"
_MO = "Mo et al. 2021 (arXiv 2105.13929)"
_UNIQUENESS = "arXiv 2510.10902 v1"

_REACHES = (  # an attack reaches more than a limit on an undefended network
    (
        "inversion_breaks_undefended",
        "Inverting Gradients reconstructs the inputs of an undefended network (more than "
        f"{100 * BROKEN:.0f} % of them).",
        _GEIPING,
        ("ig", "success", BROKEN),
        "{model}: success {reached} %",
    ),
    (
        "dlg_breaks_undefended",
        "DLG reconstructs the inputs of an undefended network without being told labels "
        f"(more than {100 * BROKEN:.0f} % of them).",
        _ZHU,
        ("dlg", "success", BROKEN),
        "{model}: success {reached} %",
    ),
    (
        "idlg_labels",
        f"iDLG's labels are always right (more than {100 * _ALWAYS:.0f} %).",
        _ZHAO,
        ("idlg", "label_recovered", _ALWAYS),
        "{model}, no defense: {reached} % right",
    ),
)
_LOWERS = {  # a family of defenses lowers success: the claim's key, the family in words, the source
    "gaussian": ("gaussian_lowers_success", "Gaussian noise lowers success.", _ZHU),
    "laplacian": ("laplacian_lowers_success", "Laplacian noise lowers success.", _ZHU),
    "prune": ("prune_lowers_success", "Gradient pruning lowers success.", _ZHU),
    "batch": ("batch_lowers_success", "Aggregation over a larger batch lowers success.", _MO),
    "local_steps": (
        "local_steps_lower_success",
        "Aggregation over local steps lowers success.",
        _MO,
    ),
}


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """Those claims whose defenses and attacks were run."""
    model, plain = plan.task.model_name, results.where(defense="no defense")
    for key, statement, source, (attack, measure, limit), measured in _REACHES:
        if (reached := plain.find(measure, attack=attack)) is not None:
            text = measured.format(model=model, reached=percent()(reached))
            yield test(key, statement, source, text, [above(reached, limit)])
    if (undefended := plain.find("success", attack="ig")) is not None:
        yield from _lowered(plan, results, undefended)
        yield from bottleneck_claims(plan.families, {model: results})
    if (correlation := plain.find("spearman", attack="ig")) is not None:
        yield test(
            "inversion_follows_uniqueness",
            "The more unique an example's gradient, the better inversion reconstructs it.",
            _UNIQUENESS,
            f"{model}, no defense: Spearman {number(2)(correlation)}",
            [correlation.of_every_seed],
        )


def _lowered(plan: Plan, results: Results, undefended: Measured) -> Iterator[Claim]:
    for family, claim in _LOWERS.items():
        made, effects = [], []
        for label in (label for label, its_family in plan.families.items() if its_family == family):
            under = results.where(defense=label)
            if (best := strongest(under)) is not None:
                success = under.get("success", attack=best)
                made.append(f"{percent()(success)} % with {label} ({best})")
                effects.append(undefended - success)
        if effects:
            without = f"{plan.task.model_name}: success {percent()(undefended)} % without, "
            yield test(*claim, without + ", ".join(made), effects)
