"""What the run says about the published claims on targeted extraction."""

from experiments.framework.claims import Claim, test
from experiments.framework.results import Results
from experiments.jobs.extraction.analysis import PREDICTORS
from experiments.jobs.extraction.measure import CONDITIONS, UNEQUAL, Plan
from experiments.report.formats import number

_V2 = "arXiv 2510.10902 v2 (targeted extraction)"
_OURS = "this project: what is known without gradients"


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims, from Spearman's correlation with the log-probability of the text's end."""
    made = []
    for condition in CONDITIONS:
        gnq = results.get("spearman", condition=condition, predictor="gnq")
        made.append(
            test(
                f"gnq_predicts_extraction_{condition}",
                "The larger the GNQ that a text has accumulated, the more easily it is extracted "
                f"({condition} exposure).",
                _V2,
                f"Spearman {number(2)(gnq)}",
                [gnq],
            )
        )
        others = [("squared_norm", _V2), ("loss_before", _OURS)]
        others += [("exposures", _OURS)] if condition == UNEQUAL else []
        others += [("counterfactual", _OURS)] if plan.options.references else []
        for name, source in others:
            other = results.get("spearman", condition=condition, predictor=name)
            of = PREDICTORS[name]
            if name == "loss_before":  # what is lost on little is extracted easily
                other, of = -other, f"low {of}"
            made.append(
                test(
                    f"gnq_predicts_better_than_{name}_{condition}",
                    f"GNQ predicts extraction better than this does: {of} ({condition} exposure).",
                    source,
                    f"Spearman {number(2)(gnq)} against {number(2)(other)}, difference "
                    f"{number(2)(gnq - other)}",
                    [gnq - other],
                )
            )
    return made
