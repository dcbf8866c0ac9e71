"""What the run says about the published claims on made-up statements."""

from collections.abc import Sequence

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Measured, Results
from experiments.jobs.facts.analysis import SAME_LENGTH
from experiments.jobs.facts.measure import SWAPPED, Plan
from experiments.report.formats import number

_V2 = "arXiv 2510.10902 v2 (true and made-up assertions)"
_WORDS = {
    SWAPPED: "something else of its kind swapped in",
    "folder": "statements of the given folder",
}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims, from pairs of the same length under the mean loss; one effect per mixture."""
    return [claim for source in plan.facts for claim in _of_source(plan, results, source)]


def _of_source(plan: Plan, results: Results, source: str) -> list[Claim]:
    shares = plan.options.made_up
    found = results.where(source=source, loss="mean", pairs=SAME_LENGTH)

    def by_share(score: str) -> list[Measured]:
        return [found.get("auc", made_up=share, score=score) for share in shares]

    def told(values: Sequence[Measured]) -> str:
        return ", ".join(f"{number(3)(v)} ({100 * s:g} %)" for v, s in zip(values, shares))

    gnq = by_share("gnq")
    what = _WORDS[source]
    made = [
        test(
            f"made_up_more_unique_{source}",
            f"Made-up statements are more unique than true ones ({what}).",
            _V2,
            f"AUC of GNQ by the share that is made up: {told(gnq)}",
            [above(value, 0.5) for value in gnq],
        )
    ]
    for score, words in (("squared_norm", "the squared gradient norm"), ("loss", "the loss")):
        differences = [one - other for one, other in zip(gnq, by_share(score))]
        made.append(
            test(
                f"gnq_separates_better_than_{score}_{source}",
                f"GNQ tells made-up statements from true ones better than {words} does ({what}).",
                _V2 if score == "squared_norm" else "this project: the loss needs no gradients",
                f"AUC of GNQ minus that of {words}: {told(differences)}",
                differences,
            )
        )
    return made
