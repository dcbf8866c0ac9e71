"""What fronts say of the claims made for defenses.

Places are not chosen: families meet at the highest accuracy that both keep in every seed, and at
the least found that both reach. Points are mixtures of settings chosen on the other seeds
(`experiments.membership.fronts`); differences are paired by
seed and by the examples that are left out.
"""

from collections.abc import Iterator

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Results
from experiments.jobs.compare.analysis import DP_SGD, OUT_OF_FOLD, OWN, RIVAL
from experiments.jobs.compare.measure import Plan
from experiments.membership.margins import MARGIN, SUBSTANTIAL
from experiments.report.formats import percent

SHARE = 0.6  # of what the others give away
RULE = (
    "Families meet at the highest accuracy that both keep in every seed, and at the least found "
    "that both reach; nobody chooses these places. Comparable: at most "
    f"{100 * MARGIN:g} points more members found at 1 % false positives. Substantially better: at "
    f"least {100 * SUBSTANTIAL:g} points more accuracy. Verdicts follow from 95 % intervals, over "
    "seeds and training examples, of differences paired by both: reproduced beyond the limit, "
    "contradicted beyond it on the other side, not told apart if it is within. The choice of test "
    "examples, the same in all seeds, is not counted: differences of accuracy are of these."
)
_SOURCES = {"gate": "GNQ v1 (arXiv 2510.10902), gate", "censor": "GNQ v1, censoring"}
_NAMES = {"gate": "The gate", "censor": "Censoring"}


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """Those of the families that the run has."""
    dataset = plan.options.dataset
    held = dict(results.groups("contest", "examples"))
    for name, source in _SOURCES.items():
        if (name, "ordinary") in held:
            yield from _against_dp_sgd(name, source, dataset, held[name, "ordinary"])
    for examples in ("ordinary", "canaries"):
        if (OUT_OF_FOLD, examples) in held:
            yield _out_of_fold(plan, examples, held[OUT_OF_FOLD, examples])


def _against_dp_sgd(name: str, source: str, dataset: str, held: Results) -> Iterator[Claim]:
    found, accuracy = percent(2), percent()
    at, level = held.get("accuracy_of_both"), held.get("level_of_both")
    own, rival = (held.get("found_at_accuracy", side=side) for side in (OWN, RIVAL))
    yield test(
        f"{name}_at_equal_accuracy",
        f"{_NAMES[name]} has privacy comparable to {DP_SGD} at equal accuracy, on {dataset}",
        source,
        f"at accuracy {accuracy(at)} %: {found(own)} % found, {DP_SGD} {found(rival)} %",
        [above(rival - own, -MARGIN)],
    )
    own, rival = (held.get("accuracy_at_level", side=side) for side in (OWN, RIVAL))
    yield test(
        f"{name}_at_equal_privacy",
        f"{_NAMES[name]} is substantially more accurate than {DP_SGD} at equal privacy, on "
        f"{dataset}",
        source,
        f"with {found(level)} % found: accuracy {accuracy(own)} %, {DP_SGD} {accuracy(rival)} %",
        [above(own - rival, SUBSTANTIAL)],
    )


def _out_of_fold(plan: Plan, examples: str, held: Results) -> Claim:
    found, at = percent(2), percent()(held.get("accuracy_of_both"))
    own, rival = (held.get("found_at_accuracy", side=side) for side in (OWN, RIVAL))
    of, options, kind = "members", plan.options, ""
    if examples == "canaries":
        of = "canaries"
        if options.canaries == "near_duplicates":  # it matters whether the defense sees them
            kind = f" (copies {options.canary_noise:g} standard deviations away)"
    return test(
        f"out_of_fold_finds_few_{of}",
        f"Labels from out of fold let an attack find at most {100 * SHARE:g} % of the {of}{kind} "
        f"that it finds under the better of {DP_SGD} and early stopping at equal accuracy, on "
        f"{options.dataset}",
        "after SELENA (arXiv 2110.08324); near-duplicates: arXiv 2404.17399",
        f"at accuracy {at} %: {found(own)} % found, the others {found(rival)} %",
        [rival * SHARE - own],
    )
