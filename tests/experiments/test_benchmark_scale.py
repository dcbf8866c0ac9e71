"""What steps of larger models take and would cost, held against counts by hand."""

from dataclasses import replace

import pytest

from experiments.framework.run_directory import is_complete
from experiments.jobs.benchmark import hardware, scale
from experiments.jobs.benchmark.cases import SMOLLM2, TINY
from experiments.jobs.benchmark.work import Work, _traced, work
from tests.experiments.running import results_of_run, run_of

run = run_of("benchmark --scale --smoke")
results = results_of_run()

TEXTS, LENGTH = 8, 256


@pytest.mark.parametrize(
    ("config", "published"),
    [(SMOLLM2, 134515008), (scale.LLAMA_1B, 1235814400), (scale.LLAMA_8B, 8030261248)],
    ids=["135M", "1B", "8B"],
)
def test_operations_of_a_plain_step(config, published):
    """6 per parameter that is multiplied with and token; attention's two products 12 T · width."""
    taken = work(config, TEXTS, LENGTH)
    assert taken.parameters == published
    multiplied = taken.parameters - (0 if config.tied else config.vocabulary * config.width)
    attention = 12 * LENGTH * config.layers * config.heads * config.head_size
    assert taken.operations == pytest.approx(
        TEXTS * LENGTH * (6 * multiplied + attention), rel=0.02
    )


def test_operations_and_bytes_of_the_audit():
    """At so many tokens every gradient is multiplied out: 2 B² inner products of all parameters."""
    taken = work(SMOLLM2, TEXTS, LENGTH)
    assert taken.added_operations == 2 * TEXTS**2 * taken.parameters
    # What is formed at once is in bfloat16; the embedding, in blocks, in float32.
    embedding = SMOLLM2.vocabulary * SMOLLM2.width
    assert taken.added_bytes == TEXTS * (2 * taken.parameters + 2 * embedding)


def test_blocks_are_alike():
    deep = replace(TINY, layers=4)
    assert work(deep, 3, 7) == pytest.approx(_traced(deep, 3, 7))


def test_scores_are_those_of_attention():
    """Per head and pair of positions: scores, as they are and as weights, and what was seen."""
    taken = work(TINY, 3, 7)
    pairs = 3 * TINY.layers * TINY.heads * 7**2
    assert taken.scores == pairs * (2 * 4 + 2 + 1)
    assert taken.scores < taken.activations


PEAK = hardware.ARITHMETIC_SHARE * hardware.BFLOAT16
STREAM = hardware.TRAFFIC_SHARE * hardware.BANDWIDTH
LINK = hardware.TRAFFIC_SHARE * hardware.LINK


def test_cost_of_arithmetic():
    taken = Work(0, 8 * PEAK, 800.0, 0, 0, 0, 80.0)
    for devices in (1, 8):
        plain, audited = (f(taken, devices) for f in (hardware.plain_cost, hardware.audited_cost))
        assert plain == pytest.approx((8 / devices, 800 / devices))
        assert audited == pytest.approx((8 / devices, 880 / devices))


def test_cost_of_memory_and_links():
    # One billion parameters: read twice, gradient written (6 bytes); then the optimizer (22).
    taken = Work(1e9, 0, 0, 0, 0, 16e9, 0)
    plain, audited = hardware.plain_cost(taken, 1), hardware.audited_cost(taken, 1)
    assert plain == pytest.approx((28e9 / STREAM, 12e9))
    assert audited.seconds - plain.seconds == pytest.approx(32e9 / STREAM)
    plain, audited = hardware.plain_cost(taken, 8), hardware.audited_cost(taken, 8)
    assert plain == pytest.approx((8.75e9 / STREAM + 7 / 8 * 6e9 / LINK, 1.5e9))
    # Every device writes those of its texts, exchanges them, writes and reads its part of all.
    added = 6e9 / STREAM + 7 / 8 * 2e9 / LINK
    assert audited.seconds - plain.seconds == pytest.approx(added)


def test_what_does_not_fit_is_said(run, results):
    out, text = run
    assert is_complete(out)
    page = (out / "report.html").read_text()
    assert "None of this was measured" in text
    assert "Nothing here\nwas measured" in page
    keys = {"model": "tiny", "tokens": 8, "devices": 8, "attention": scale.FUSED}
    assert results.get("fitting", **keys).mean == 2
    seconds = [results.get(f"{step}_seconds", **keys).mean for step in ("audited", "plain")]
    relative = results.get("relative", **keys).mean
    assert relative == pytest.approx(seconds[0] / seconds[1])
    assert results.get("relative_in_between", **keys).mean == pytest.approx(0.9 + relative / 10)
    large = Work(1e10, 1, 1, 1, 1, 1, 1)
    (fitting,) = (e for e in scale._costs(large, 1, {}) if e.measure == "fitting")
    assert fitting.measured.mean == 0
