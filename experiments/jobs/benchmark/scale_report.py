"""What the benchmark shows of larger models; its words are in `scale.html.jinja`."""

from experiments.framework.results import Results
from experiments.jobs.benchmark import hardware
from experiments.jobs.benchmark.scale import EVERY, FUSED, TEXTS, WRITTEN_OUT, Case, Plan
from experiments.jobs.benchmark.work import Work
from experiments.report.formats import plain
from experiments.report.page import Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_CASE = [KeyColumn("model", "model"), KeyColumn("tokens", "tokens", "{:,}".format)]
_FITTING = ("neither", "the plain step alone", "both")


def report(plan: Plan, counted: list[tuple[Case, Work]], results: Results) -> Report:
    """Tables and their page."""
    tables = {
        "work": _work_table(results),
        "written_out": _cost_table(
            "as gujax's models are written", results.where(attention=WRITTEN_OUT)
        ),
        "fused": _cost_table(
            "if attention kept no T × T in memory; today it does",
            results.where(attention=FUSED),
            _note(),
        ),
    }
    return Report(
        __file__,
        tables=tables,
        template="scale.html.jinja",
        terminal=tuple(tables),
        words={"smoke": plan.options.smoke, "texts": TEXTS},
    )


def _work_table(results: Results) -> Table:
    return tabulate(
        f"What a step of {TEXTS} texts takes, by count",
        results,
        [
            *_CASE,
            Column("parameters", "parameters", plain(",.0f", 1e-6, " M")),
            Column("10¹² operations, plain", "operations", plain(",.4g", 1e-12)),
            Column("added by the audit", "added_operations", plain(",.3g", 1e-12)),
            Column("GiB it forms", "added_bytes", plain(",.1f")),
            Column("GiB it keeps", "kept", plain(",.1f")),
            Column("GiB of activations", "activations", plain(",.1f")),
            Column("of these T × T", "scores", plain(",.1f")),
        ],
        "Plain: XLA's count of the gradient before it optimizes. The audit: what the engine plans, "
        "without the products that a plain step forms as well. Activations: what JAX keeps between "
        "forward and backward pass; XLA fuses some of it away.",
    )


def _cost_table(title: str, results: Results, note: str = "") -> Table:
    return tabulate(
        f"Predicted for H100, {title}",
        results,
        [
            *_CASE,
            KeyColumn("devices", "devices"),
            Column("ms, plain step", "plain_seconds", plain(",.0f", 1e3)),
            Column("ms, audited", "audited_seconds", plain(",.0f", 1e3)),
            Column("over plain", "relative", plain(".2f", suffix="×")),
            Column(f"every {EVERY}th audited", "relative_in_between", plain(".2f", suffix="×")),
            Column("GiB, plain step", "plain_memory", plain(",.0f")),
            Column("GiB, audited", "audited_memory", plain(",.0f")),
            Column("fits", "fitting", lambda fitting: _FITTING[int(fitting.mean)]),
        ],
        note,
    )


def _note() -> str:
    return (
        f"None of this was measured. {TEXTS} texts per step, all on one device or one on each of "
        "eight; memory is that of each device. Where a step does not fit, its time is that of a "
        "device with more memory. Assumed: bfloat16, inner products and Adam's moments in float32; "
        "parameters split like FSDP's, and per-example gradients exchanged by element, as on a "
        f"mesh with explicit axes; {hardware.ARITHMETIC_SHARE:.0%} of "
        f"{hardware.BFLOAT16 / 1e12:g} · 10¹² operations per second ({hardware.FLOAT32 / 1e12:g} "
        f"in float32), {hardware.TRAFFIC_SHARE:.0%} of {hardware.BANDWIDTH / 1e12:g} TB/s of "
        f"memory and {hardware.LINK / 1e9:g} GB/s of NVLink each way, {hardware.MEMORY / 1e9:g} "
        "GB; no exchange between devices while they compute."
    )
