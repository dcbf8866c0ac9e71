"""Claims of the literature on bottlenecks: what attacks reach, and what accuracy is lost.

Each is judged over all networks of the run.
"""

from collections.abc import Iterator

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Results
from experiments.inversion.claims import ADAPTIVE, CVB, PRECODE, bottleneck_claims, key_part
from experiments.jobs.precode.measure import Plan
from experiments.report.formats import percent

LOSS_LIMIT = 0.02  # of accuracy: a smaller loss counts as almost none

_SOURCES = {"precode": PRECODE, "ppp": ADAPTIVE, "cvb": CVB}


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """All claims that the run tested."""
    networks = {name: of_network for (name,), of_network in results.groups("network")}
    yield from bottleneck_claims(plan.families, networks)
    for label, family in plan.families.items():
        if family not in _SOURCES:
            continue
        lost = {
            name: difference
            for name, of_network in networks.items()
            if (difference := of_network.find("accuracy_difference", defense=label)) is not None
        }
        yield test(
            f"{key_part(label)}_keeps_accuracy",
            f"{label} costs almost no accuracy (less than {100 * LOSS_LIMIT:.0f} points).",
            _SOURCES[family],
            "; ".join(f"{name}: difference {percent()(x)} points" for name, x in lost.items()),
            [above(x, -LOSS_LIMIT) for x in lost.values()],
        )
