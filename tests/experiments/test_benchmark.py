"""The benchmark: that every method computes the right thing, and that reports say what was run."""

import importlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.framework import timing
from experiments.framework.command_line import main
from experiments.framework.results import Results
from experiments.framework.run_directory import is_complete
from experiments.jobs.benchmark import analysis, costs, growth, inversion, methods
from experiments.jobs.benchmark.cases import mlp_case
from tests.experiments.running import mistakes_of, results_of_run, run_job, run_of

run = run_of("benchmark --smoke --models mlp --rounds 2")


results = results_of_run()


def test_every_method_agrees_with_code_that_is_not_ours(results):
    assert_agrees(results, ["MLP"])


@pytest.mark.long
def test_every_method_agrees_on_the_other_models(tmp_path):
    out, _ = run_job(tmp_path / "run", "benchmark --smoke --models cnn resnet gpt --no-growth")
    assert_agrees(Results.read(out / "results.parquet"), ["CNN", "ResNet", "GPT"])


def assert_agrees(results, names):
    cases = [label for (label,), _ in results.groups("case")]
    assert [label.split()[0] for label in cases] == names
    compared = {method.name for method in methods.METHODS} - {methods.GATE}
    for label in cases:
        for name in compared:
            # Sums of float32 in another order.
            assert results.get("update_error", case=label, method=name).mean < 2e-5, name
        for name in (methods.AUDIT, methods.GATE):
            assert results.get("uniqueness_error", case=label, method=name).mean < 1e-4, name
    assert analysis.disagreements(results, analysis.TOLERANCE) == []


def quartiles(row, measure):
    return [row.get(measure, quartile=name).mean for name in ("low", "median", "high")]


def test_every_method_was_timed_and_its_memory_is_known(run, results):
    summary = json.loads((run[0] / "summary.json").read_text())
    for (label,), case in results.groups("case"):
        for (method,), row in case.groups("method"):
            low, median, high = quartiles(row, "milliseconds")
            assert 0 < low <= median <= high
            assert summary[label][method]["median"]["milliseconds"] == median
            assert row.get("samples").mean == 2
            # At least the new parameters, of which PyTorch makes no second copy.
            assert row.get("memory").mean > 0
        plain = case.where(method=methods.PLAIN)
        assert quartiles(plain, "relative") == [1, 1, 1]
        assert plain.get("memory").mean >= 4 * case.get("parameters").mean / 2**20


def test_predicted_exponents_are_those_of_the_shapes(results):
    batch, width = (of_sweep for _, of_sweep in results.groups("sweep"))
    # Inner products of a batch: B². Plain step: linear in B but for the sum over examples.
    assert batch.get("exponent_predicted", cost=growth.ADDED).mean == pytest.approx(2)
    assert 0.9 < batch.get("exponent_predicted", cost=methods.PLAIN).mean <= 1
    # One hidden layer: all products are linear in its width, what does not depend on it aside.
    assert 0.5 < width.get("exponent_predicted", cost=growth.ADDED).mean < 1


def test_the_run_is_complete_and_the_report_loads_nothing(run, results):
    out, text = run
    assert is_complete(out)
    page = (out / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/svg+xml;") for source in sources)
    assert "<script" not in page
    for name in ("time", "memory", "growth"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 1000
    for (label,), _ in results.groups("case"):
        assert label in page
        assert label in text
    assert str(out / "report.html") in text
    assert json.loads((out / "device.json").read_text())["device"]


@pytest.fixture(scope="module")
def truth():
    """Gradients of a small case in float64, one example at a time, and its GNQ by definition."""
    case = mlp_case(6, 10, (8,), 4)
    gradient = jax.jit(jax.grad(case.loss_fn))
    grads = np.stack(
        [flat(gradient(case.params, (x, y))) for x, y in zip(*case.batch)], dtype=np.float64
    )
    ridge = methods.RELATIVE_RIDGE * np.mean(np.sum(grads**2, axis=1))
    second = grads.T @ grads
    gnq = [g @ np.linalg.solve(second - np.outer(g, g) + ridge * np.eye(g.size), g) for g in grads]
    return case, grads, np.array(gnq)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def released(case, name):
    """Noiseless update and state of a method."""
    method = next(method for method in methods.METHODS if method.name == name)
    state, step = method.make(case)
    params, state = jax.jit(step)(case.params, state, case.batch, jnp.zeros(()))
    return (flat(case.params) - flat(params)) / methods.LEARNING_RATE, state


def test_the_audit_is_the_definition(truth):
    case, grads, gnq = truth
    update, state = released(case, methods.AUDIT)
    np.testing.assert_allclose(update, grads.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(state.uniqueness, gnq, rtol=1e-5)


def test_the_gate_drops_the_most_unique(truth):
    case, grads, gnq = truth
    update, _ = released(case, methods.GATE)
    kept = gnq <= np.quantile(gnq, methods.GATE_QUANTILE, method="lower")
    assert 0 < kept.sum() < len(gnq)
    np.testing.assert_allclose(update, grads[kept].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "name", [methods.CLIP, methods.DP_SGD, methods.CLIPPED_GRAD, methods.OPTAX]
)
def test_clipping_is_the_definition(monkeypatch, truth, name):
    case, grads, _ = truth
    norms = np.linalg.norm(grads, axis=1)
    limit = float(np.median(norms))  # half of the examples are clipped, half are not
    monkeypatch.setattr(methods, "L2_NORM_CLIP", limit)
    update, _ = released(case, name)
    expected = (grads * np.minimum(1, limit / norms)[:, None]).mean(axis=0)
    np.testing.assert_allclose(update, expected, atol=1e-6)


def test_a_wrong_method_is_found(truth):
    case, _, _ = truth

    def make(case):
        state, step = methods.METHODS[0].make(case)

        def too_far(params, *rest):
            new, state = step(params, *rest)
            return jax.tree.map(lambda p, n: p + 1.01 * (n - p), params, new), state

        return state, too_far

    wrong = methods.Method("wrong", False, "mean", make)
    effort = costs.Effort(seconds=1, rounds=1, memory_mib=1024)
    found, _ = costs.measure_case(case, effort, [methods.METHODS[0], wrong])

    def sentences(of_methods):
        return analysis.disagreements(Results(analysis.case_entries("case", of_methods)), 1e-3)

    (sentence,) = sentences(found)
    assert sentence.startswith("case, wrong: the update differs by")
    assert sentences(found[:1]) == []


def test_disagreement_is_an_exit_code_and_what_is_too_large_is_skipped(
    monkeypatch, capsys, tmp_path
):
    # The update of the plain step equals its reference, itself; nothing is less than nothing.
    for module in (analysis, importlib.import_module("experiments.jobs.benchmark.report")):
        monkeypatch.setattr(module, "TOLERANCE", -1.0)
    out = tmp_path / "run"
    command = "benchmark --smoke --models mlp --no-growth --rounds 1 --memory-gib 1e-7 --out"
    assert main([*command.split(), str(out)]) == analysis.DISAGREEMENT
    sentence = "plain step: the update differs by 0.0e+00 from its reference"
    assert sentence in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert sentence in page
    ((_, case),) = Results.read(out / "results.parquet").groups("case")
    rows = {method: row for (method,), row in case.groups("method")}
    # The plain step always runs: without it there is nothing to compare with.
    assert rows.pop(methods.PLAIN).find("needed") is None
    for row in rows.values():
        assert row.find("milliseconds", quartile="median") is None
        assert row.get("needed").mean > 0
    assert page.count("<td>skipped: needs 0.0 GiB</td>") == len(rows)


class Clock:
    """Stands for `time.perf_counter`; calls made by it let their time pass."""

    def __init__(self):
        self.now = 0.0
        self.made = []

    def call(self, name, duration):
        def pass_time():
            self.made.append(name)
            self.now += duration

        return pass_time


def test_rounds_are_interleaved_and_slow_calls_are_made_once(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    durations = {"a": 0.2, "b": 0.3, "slow": 40.0, "limited": 1.5}
    calls = {name: clock.call(name, duration) for name, duration in durations.items()}
    samples = timing.interleave(calls, seconds=9, rounds=12)
    assert {name: len(taken) for name, taken in samples.items()} == {
        "a": 12,
        "b": 12,
        "slow": 1,
        "limited": 6,
    }
    for name, taken in samples.items():
        assert taken == pytest.approx([durations[name]] * len(taken))
    rounds = clock.made[4:]
    assert all(set(rounds[i : i + 3]) == {"a", "b", "limited"} for i in range(0, 18, 3))
    assert len({tuple(rounds[i : i + 3]) for i in range(0, 18, 3)}) > 1


def test_quick_calls_are_repeated_for_one_sample(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    samples = timing.interleave({"quick": clock.call("quick", 0.001)}, seconds=1, rounds=2)
    assert samples["quick"] == pytest.approx([0.001, 0.001])
    assert len(clock.made) > 2 * 40


def test_exponents():
    exact = growth.fit([1, 2, 4, 8], [3.0, 12.0, 48.0, 192.0], [1, 8, 64, 512])
    assert exact.predicted == pytest.approx(3)
    assert (exact.measured, exact.low, exact.high) == pytest.approx((2, 2, 2))
    # Slope of three points (0, 0), (1, 0), (2, 3): 3/2, residuals (1/2, -1, 1/2), so its
    # standard error is sqrt(1.5 / 1 / 2), and t(0.975, 1) = 12.7062.
    noisy = growth.fit([1, 2, 4], [1.0, 1.0, 8.0], [1, 2, 4])
    assert noisy.measured == pytest.approx(1.5)
    assert noisy.high - noisy.measured == pytest.approx(12.7062 * np.sqrt(0.75), rel=1e-4)
    assert growth.fit([1, 2, 4], [1.0, -1.0, 2.0], [1, 2, 4]).measured is None


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "benchmark",
    [
        ("--seconds 0", "--seconds 0.0 must be positive"),
        ("--rounds 0", "--rounds 0"),
        ("--memory-gib -1", "--memory-gib -1.0"),
    ],
)


def test_the_comparison_with_pytorch_needs_it(monkeypatch, capsys):
    monkeypatch.setattr(inversion.importlib.util, "find_spec", lambda name: None)
    assert main(["benchmark", "--inversion"]) == 2
    assert "not installed; install the extra 'bench'" in capsys.readouterr().err


def test_an_assessment_is_measured_beside_the_trainings_that_it_saves(tmp_path):
    out, text = run_job(tmp_path / "run", "benchmark --assessment --smoke")
    results = Results.read(out / "results.parquet").where(case="digits, mlp")
    assert results.get("members").mean == 300
    for work in ("trainings", "first", "again"):
        assert results.get("processor", work=work).mean > 0
    share = results.get("share").mean
    spent = [results.get("processor", work=work).mean for work in ("first", "trainings")]
    assert share == pytest.approx(spent[0] / spent[1])
    # Nothing is compiled the second time.
    assert results.get("clock", work="again").mean < results.get("clock", work="first").mean
    assert results.get("agreement").mean > 0.95
    assert "of the processors" in text


test_what_an_assessment_is_not_measured_with = mistakes_of(
    "benchmark",
    [
        ("--assessment --inversion", "not several"),
        ("--assessment --scale", "not several"),
        ("--assessment --models gpt", "the --models mlp and cnn alone"),
    ],
)
