"""The claims about DAGER, held against what a run measured.

Rules, fixed before the first run at full size: exact is more than 99 % of the tokens that the model
reads, where updates have fewer different inputs than the width less one in the mean of every seed;
"ends" is that at most 1 % are recovered.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from experiments.framework.claims import Claim, above, below, test
from experiments.framework.results import Measured, Results
from experiments.jobs.invert_texts.plan import Plan
from experiments.report.formats import percent
from gujax.statistics import Interval

EXACT, STOPPED = 0.99, 0.01

_DAGER = "Petrov et al. 2024 (arXiv 2405.15586)"
_AGGREGATING = ("none", "batch")


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """Those whose defenses were run."""
    few: dict[str, Measured] = {}
    many: dict[str, Measured] = {}
    noisy: dict[str, Measured] = {}
    for shared in plan.shared_updates:
        of_defense = results.where(defense=shared.label)
        recovered = of_defense.get("tokens_recovered")
        enough = of_defense.get("inputs_per_update").values >= plan.options.width - 1
        if shared.family in _AGGREGATING and not enough.any():
            few[shared.label] = recovered
        elif shared.family in _AGGREGATING and enough.all():
            many[shared.label] = recovered
        elif shared.family in ("gaussian", "laplacian", "prune", "dp_sgd"):
            noisy[shared.label] = recovered
    yield from _claim(
        "dager_recovers_texts",
        "DAGER recovers the texts of a batch exactly where it has fewer tokens than the model's "
        f"width: more than {100 * EXACT:.0f} % of the tokens that the model reads.",
        few,
        partial(above, limit=EXACT),
    )
    yield from _claim(
        "dager_ends_at_the_width",
        "Aggregation over as many tokens as the width ends DAGER: at most "
        f"{100 * STOPPED:.0f} % of the tokens are recovered.",
        many,
        partial(below, limit=STOPPED),
    )
    yield from _claim(
        "noise_stops_dager",
        "Noise and pruning end the exact attack where nobody adapts it to them: at most "
        f"{100 * STOPPED:.0f} % of the tokens are recovered.",
        noisy,
        partial(below, limit=STOPPED),
    )


def _claim(
    key: str,
    statement: str,
    measured: Mapping[str, Measured],
    effect: Callable[[Measured], Interval],
) -> Iterator[Claim]:
    if measured:
        text = "; ".join(f"{label}: {percent()(x)} %" for label, x in measured.items())
        effects = {label: effect(x) for label, x in measured.items()}
        yield test(key, statement, _DAGER, text, effects)
