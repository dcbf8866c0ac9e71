"""What the benchmark shows of Inverting Gradients; its words are in `inversion.html.jinja`."""

import jax

from experiments.framework.results import Measured as Quantity
from experiments.framework.results import Results
from experiments.jobs.benchmark import inversion
from experiments.jobs.benchmark.inversion import VICTIMS, Measured, Plan
from experiments.jobs.benchmark.targets import Target, targets_table
from experiments.report.formats import plain, significant
from experiments.report.page import Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_NAMES = {
    inversion.OURS: "gujax, 1 victim",
    inversion.TORCH: "PyTorch, 1 victim",
    inversion.SURROGATE: "gujax, 1 victim, surrogate of ReLU",
    inversion.AT_ONCE: f"gujax, {VICTIMS} victims at once",
    inversion.ONE_BY_ONE: f"gujax, {VICTIMS} victims one by one",
}
_SPEEDUP = 2.0


def report(plan: Plan, measured: Measured, results: Results) -> Report:
    """Tables and their page."""
    wrong = inversion.disagreements(results)
    errors = {name: row.get("error").mean for (name,), row in results.groups("compared")}
    return Report(
        __file__,
        tables={"times": _times_table(results), "targets": targets_table(_targets(results))},
        template="inversion.html.jinja",
        terminal=("times", "targets"),
        remarks=wrong,
        words={"wrong": wrong, "errors": errors},
    )


def _times_table(results: Results) -> Table:
    def shown(measured: Quantity) -> str:
        return significant(measured.mean)

    return tabulate(
        "Time of one iteration",
        results,
        [
            KeyColumn("what", "call", _NAMES.__getitem__),
            Column("ms", "milliseconds", shown, {"quartile": "median"}),
            Column("lower quartile", "milliseconds", shown, {"quartile": "low"}),
            Column("upper quartile", "milliseconds", shown, {"quartile": "high"}),
            Column("over gujax, 1 victim", "relative", shown, {"quartile": "median"}),
            Column("samples", "samples", plain(".0f")),
        ],
        "Medians over rounds in random order; ratios are of the same round. The surrogate is what "
        "the jobs search with: `gujax.attacks.inversion.surrogate_relu`.",
    )


def _targets(results: Results) -> list[Target]:
    speedup, batching = (results.get(name).mean for name in ("speedup", "at_once_over_one_by_one"))
    limit = 0.2 if jax.default_backend() == "gpu" else 1.0
    return [
        Target("PyTorch over gujax", "one victim", _SPEEDUP, speedup, at_least=True),
        Target("at once over one by one", f"{VICTIMS} victims", limit, batching),
    ]
