"""Whether sums over clients and steps of their own stop the attacks.

Rules, fixed before the first run at full size: the attack on an update is the one with the most
success on the mean; a sum is of the most clients, and local steps are the most, that were run.
"""

from collections.abc import Iterator

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Measured, Results
from experiments.inversion.analysis import strongest
from experiments.inversion.claims import BROKEN
from experiments.jobs.federated.plan import Plan
from experiments.report.formats import percent

_GEIPING = "Geiping et al. 2020 (arXiv 2003.14053), sections 6 and 7"


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """All that the run can test."""
    own, summed = (
        {
            steps: shared.label
            for shared, steps in zip(plan.attacked.shared_updates, plan.steps)
            if shared.num_clients == clients
        }
        for clients in (1, max(plan.options.clients))
    )
    most = max(plan.steps)
    found = {label: _strongest(results, label) for label in {*own.values(), *summed.values()}}
    yield _broken(
        "sums_are_inverted",
        f"A sum over {max(plan.options.clients)} clients is no protection by itself: more than "
        f"{100 * BROKEN:.0f} % of the examples in it are reconstructed.",
        {label: found[label] for label in summed.values()},
    )
    yield _broken(
        "local_steps_are_inverted",
        f"{most} local steps are no protection by themselves: more than {100 * BROKEN:.0f} % of a "
        "client's examples are reconstructed.",
        {own[most]: found[own[most]]},
    )
    pairs = {steps: (found[own[steps]], found[summed[steps]]) for steps in own}
    yield test(
        "sums_leak_less",
        "Under secure aggregation the server reconstructs fewer examples than from single updates.",
        _GEIPING,
        "; ".join(
            f"{own[steps]} {percent()(a)} %, {summed[steps]} {percent()(b)} %"
            for steps, (a, b) in pairs.items()
        ),
        {own[steps]: a - b for steps, (a, b) in pairs.items()},
    )


def _strongest(results: Results, label: str) -> Measured:
    of_update = results.where(defense=label)
    return of_update.get("success", attack=str(strongest(of_update)))


def _broken(key: str, statement: str, found: dict[str, Measured]) -> Claim:
    measured = "; ".join(f"{label}: {percent()(x)} %" for label, x in found.items())
    effects = {label: above(x, BROKEN) for label, x in found.items()}
    return test(key, statement, _GEIPING, measured, effects)
