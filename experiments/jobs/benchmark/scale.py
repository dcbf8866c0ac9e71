"""What an audited step of larger language models would take on H100: predicted, not measured."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from experiments.framework.progress import Steps
from experiments.framework.results import Entry, entry
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark.cases import SMOLLM2, TINY
from experiments.jobs.benchmark.hardware import MEMORY, audited_cost, plain_cost
from experiments.jobs.benchmark.options import Options
from experiments.jobs.benchmark.work import Work, work
from gujax.models import LanguageConfig

TEXTS = 8
DEVICES = (1, 8)
EVERY = 10  # steps of which one is audited, beside all of them
WRITTEN_OUT, FUSED = "written out", "fused"
GIB = 2**30

LLAMA_1B = LanguageConfig("llama", 128256, 131072, 2048, 16, 32, 8, 8192, 64)
LLAMA_8B = LanguageConfig("llama", 128256, 131072, 4096, 32, 32, 8, 14336, 128, tied=False)


class Case(NamedTuple):
    """A language model on texts of so many tokens."""

    model: str
    config: LanguageConfig
    length: int

    @property
    def place(self) -> dict[str, Any]:
        """What its quantities are quantities of."""
        return {"model": self.model, "tokens": self.length}


class Plan(NamedTuple):
    """What is predicted."""

    options: Options
    cases: Sequence[Case]

    @property
    def num_steps(self) -> int:
        """One for each case."""
        return len(self.cases)


def prepare(options: Options) -> Plan:
    """The models and lengths; with `smoke`, tiny ones."""
    chosen = {
        "SmolLM2-135M": SMOLLM2,
        "Llama-3.2-1B": LLAMA_1B,
        "Llama-3.1-8B": LLAMA_8B,
    }
    if options.smoke:
        chosen = {"tiny": TINY}
    lengths = (4, 8) if options.smoke else (2048, 8192)
    return Plan(options, [Case(*model, length) for model in chosen.items() for length in lengths])


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[tuple[Case, Work]]:
    """Counts what every step takes; nothing is computed."""
    counted = []
    for case in plan.cases:
        with steps.step(f"{case.model}, {case.length:,} tokens"):
            counted.append((case, work(case.config, TEXTS, case.length)))
    return counted


def analyze(plan: Plan, counted: list[tuple[Case, Work]]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: model and tokens of a text; for times and memory also devices, and whether attention is
    written out or fused.
    """
    for case, taken in counted:
        yield entry("parameters", taken.parameters, **case.place)
        yield entry("operations", taken.operations, **case.place)
        yield entry("added_operations", taken.added_operations, **case.place)
        for measure in ("added_bytes", "activations", "scores", "kept"):
            yield entry(measure, getattr(taken, measure) / GIB, "GiB", **case.place)
        fused = taken._replace(activations=taken.activations - taken.scores)
        for attention, of in {WRITTEN_OUT: taken, FUSED: fused}.items():
            for devices in DEVICES:
                yield from _costs(of, devices, {**case.place, "attention": attention})


def _costs(taken: Work, devices: int, keys: dict[str, Any]) -> Iterator[Entry]:
    place = {**keys, "devices": devices}
    plain, audited = plain_cost(taken, devices), audited_cost(taken, devices)
    for step, cost in {"plain": plain, "audited": audited}.items():
        yield entry(f"{step}_seconds", cost.seconds, "s", **place)
        yield entry(f"{step}_memory", cost.memory / GIB, "GiB", **place)
    relative = audited.seconds / plain.seconds
    yield entry("relative", relative, **place)
    yield entry("relative_in_between", 1 + (relative - 1) / EVERY, **place)
    yield entry("fitting", sum(cost.memory <= MEMORY for cost in (plain, audited)), **place)
