import json
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import polars as pl
import pytest
import scipy.stats

import gujax
from gujax.assessment import signal_gram, signal_sketches
from gujax.assessment._gradients import folded
from gujax.attacks.membership import evaluate_attack, lira, scaled_confidence
from gujax.prediction import gram_spectrum, paired_gap, rerun_deviation
from tests.assessment.models import MEMBERS, fit, logits, problem

X, Y = problem()
FIRST = np.arange(len(Y)) < MEMBERS
AGAIN = np.random.default_rng(7).permutation(len(Y)) < MEMBERS
IN, OUT = (X[:MEMBERS], Y[:MEMBERS]), (X[MEMBERS:], Y[MEMBERS:])


@cache
def parameters():
    return fit(X, Y, FIRST), fit(X, Y, AGAIN)


@cache
def assessed(**options):
    first, again = parameters()
    return gujax.assess(logits, first, IN, OUT, rerun=(again, AGAIN), num_resamples=50, **options)


def moments(phi, masks):
    """Measured shift of every example, and deviation."""
    inside, outside = (np.where(side, phi, np.nan) for side in (masks, ~masks))
    spread = [np.nanvar(side, axis=0, ddof=1).mean() for side in (inside, outside)]
    return np.nanmean(inside, 0) - np.nanmean(outside, 0), np.sqrt(np.mean(spread))


def with_changed(x=None, y=None, part=OUT, rows=slice(None)):
    """Examples with some of them changed."""
    new_x, new_y = part[0].copy(), part[1].copy()
    if x is not None:
        new_x[rows] = x
    if y is not None:
        new_y[rows] = y
    return new_x, new_y


class TestAgainstTheAttack:
    @pytest.fixture(scope="class")
    @classmethod
    def attacked(cls):
        """LiRA with 64 models, of which the assessed one is none."""
        rng = np.random.default_rng(1)
        masks = np.array([rng.permutation(len(Y)) < MEMBERS for _ in range(32)])
        masks = np.concatenate([masks, ~masks])
        weights = np.array([fit(X, Y, mask)["w"] for mask in masks])
        phi = scaled_confidence(np.stack([logits({"w": w}, X) for w in weights]), Y)
        return phi, masks, evaluate_attack(lira(phi, masks), masks, num_resamples=0)

    def test_level(self, attacked):
        """Predictions from eight pairs of a model and a rerun: each draws another gap."""
        phi, masks, measured = attacked
        rows = X * (2 * Y - 1)[:, None]
        spectra = [gram_spectrum(rows @ rows.T, phi[i], masks[i]) for i in range(8)]
        predicted = []
        for i, spectrum in enumerate(spectra):
            runs = phi[i], phi[i + 8], masks[i], masks[i + 8]
            ridge = gujax.calibrated_ridge(spectrum, *runs[::2], gap=paired_gap(*runs))
            shift = gujax.membership_shift(spectrum, *runs[::2], ridge)
            predicted.append(gujax.predict_attack(shift, rerun_deviation(*runs)))
        auc = np.array([attack.auc for attack in predicted])
        assert np.mean(auc) == pytest.approx(measured.auc.mean, abs=0.02)
        assert np.abs(auc - measured.auc.mean).max() < 0.06
        # With 64 models, LiRA knows neither shifts nor deviation well enough for few accusations.
        perfect = float(gujax.predict_attack(*moments(phi, masks)).tpr(0.01))
        tpr = [float(attack.tpr(0.01)) for attack in predicted]
        assert np.mean(tpr) == pytest.approx(perfect, rel=0.25)

    def test_ranking(self, attacked):
        shift, _ = moments(*attacked[:2])
        rank, _ = scipy.stats.spearmanr(assessed().shift, shift)
        by_loss, _ = scipy.stats.spearmanr(-assessed().signal, shift)
        assert rank > max(by_loss, 0.6)


class TestParts:
    def test_they_are_those_of_the_core(self):
        first, again = parameters()
        found = assessed()
        rows = X * (2 * Y - 1)[:, None]
        gram, phi = rows @ rows.T, rows @ first["w"]
        gap = gujax.prediction.paired_gap(phi, rows @ again["w"], FIRST, AGAIN)
        reruns = (rows @ again["w"])[None], AGAIN[None]
        spectrum = replace(gram_spectrum(gram, phi, FIRST), reruns=reruns)
        ridge = gujax.calibrated_ridge(spectrum, phi, FIRST, gap=gap)
        assert found.ridge == pytest.approx(ridge, rel=1e-3)
        shift = gujax.membership_shift(spectrum, phi, FIRST, ridge)
        np.testing.assert_allclose(found.shift, shift, rtol=1e-3)
        assert found.auc.mean == found.attack.auc

    def test_blocks_do_not_matter(self):
        np.testing.assert_allclose(assessed(microbatch_size=77).shift, assessed().shift, rtol=1e-4)

    def test_sketches(self):
        # 60 parameters in a sketch of 64 numbers: exact, but for the ridge it is.
        sketched = assessed(sketch_dimension=512)
        assert sketched.sketch_dimension == 512
        np.testing.assert_allclose(sketched.shift, assessed().shift, rtol=1e-2)
        small = assessed(sketch_dimension=32)
        assert "too small" in small.unsafe[0]
        assert not small.check(max_auc=1)

    def test_folded_sketches_are_sketches(self):
        rng = np.random.default_rng(0)
        params = {"w": jax.numpy.asarray(rng.normal(size=(90, 50)), np.float32)}
        x = rng.normal(size=(200, 90)).astype(np.float32)
        pool = x, rng.integers(0, 50, 200)

        def apply(params, x):
            return x @ params["w"]

        exact = signal_gram(apply, params, pool, 200, None)
        scale = np.sqrt(np.outer(np.diagonal(exact), np.diagonal(exact)))
        errors = []
        for seed in range(4):
            sketches = folded(signal_sketches(apply, params, pool, 200, 512, seed, None), 128)
            assert sketches.shape == (200, 128)
            errors.append((sketches @ sketches.T - exact) / scale)
        # Unbiased, with the deviation of a sketch of so many numbers: at most twice √(2 / 128).
        assert np.std(errors) < 2 * np.sqrt(2 / 128)
        assert abs(np.mean(errors)) < 0.01

    def test_progress_counts_blocks(self):
        seen = []
        assess_with(microbatch_size=200, progress=lambda done, total: seen.append((done, total)))
        assert seen == [(i, 6) for i in range(1, 7)]

    def test_no_rerun(self):
        x, y = problem(seed=1)
        params, members, held_out = fit(x, y, FIRST), (x[FIRST], y[FIRST]), (x[~FIRST], y[~FIRST])
        again = fit(x, y, AGAIN), AGAIN
        found, better = (
            gujax.assess(logits, params, members, held_out, rerun=rerun, num_resamples=2)
            for rerun in (None, again)
        )
        assert 0.4 * better.deviation < found.deviation < better.deviation
        assert "under-estimate" in found.summary()["deviation_from"]
        assert any("formula" in line for line in found.warnings)

    def test_inputs_may_be_a_tree(self):
        first, again = parameters()
        split = [({"a": x[:, :10], "b": x[:, 10:]}, y) for x, y in (IN, OUT)]

        def apply(params, x):
            return logits(params, jax.numpy.concatenate([x["a"], x["b"]], axis=1))

        found = gujax.assess(apply, first, *split, rerun=(again, AGAIN))
        np.testing.assert_allclose(found.shift, assessed().shift, rtol=1e-4)


def assess_with(**change):
    first, again = parameters()
    arguments = {"members": IN, "held_out": OUT, "rerun": (again, AGAIN), "num_resamples": 50}
    arguments |= change
    apply = arguments.pop("apply", logits)
    return gujax.assess(
        apply, first, arguments.pop("members"), arguments.pop("held_out"), **arguments
    )


class TestSeveralReruns:
    @pytest.fixture(scope="class")
    @classmethod
    def reruns(cls):
        rng = np.random.default_rng(11)
        masks = [rng.permutation(len(Y)) < MEMBERS for _ in range(3)]
        return [(fit(X, Y, mask), mask) for mask in masks]

    def test_a_sequence_of_one_is_one(self):
        found = assess_with(rerun=[(parameters()[1], AGAIN)])
        np.testing.assert_array_equal(found.shift, assessed().shift)
        assert found.auc == assessed().auc

    def test_the_gap_is_more_precise(self, reruns):
        one, many = (assess_with(rerun=reruns[:count], num_resamples=2) for count in (1, 3))
        assert many.num_reruns == 3
        # By the root of 3, but for what the draw of examples adds to all pairs alike.
        assert 0.5 < many.gap.half_width / one.gap.half_width < 0.8
        assert many.deviation == pytest.approx(one.deviation, rel=0.2)

    def test_parameters_that_are_a_tuple_are_no_sequence_of_reruns(self):
        first, again = ((p["w"],) for p in parameters())
        found = gujax.assess(
            lambda p, x: logits({"w": p[0]}, x), first, IN, OUT, rerun=(again, AGAIN)
        )
        np.testing.assert_allclose(found.shift, assessed().shift, rtol=1e-4)

    def test_what_is_wrong_is_named_by_its_place(self, reruns):
        with pytest.raises(ValueError, match=r"rerun\[2\]\[1\] leaves out 0 members"):
            assess_with(rerun=[*reruns[:2], (reruns[2][0], FIRST)])
        with pytest.raises(ValueError, match="two reruns give the same"):
            assess_with(rerun=[reruns[0], reruns[0]])


class TestNoGap:
    def test_it_gives_a_limit_and_no_number(self, tmp_path):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(400, 5)).astype(np.float32), rng.integers(0, 2, 400)
        params = {"w": np.ones(5, np.float32)}  # of which no example has been seen
        found = gujax.assess(logits, params, (x[:200], y[:200]), (x[200:], y[200:]))
        assert not found.calibrated
        assert np.isnan([found.ridge, found.deviation, found.auc.mean, *found.shift]).all()
        assert 0.5 <= found.auc.high <= 1
        assert "nothing to calibrate" in found.unsafe[-1]
        with pytest.raises(ValueError, match="there is no prediction: no"):
            _ = found.attack
        decision = found.check(max_auc=0.99)
        assert not decision
        assert "not safe" in decision.reasons[0]
        found.save(tmp_path, decision)
        assert json.loads((tmp_path / "card.json").read_text())["auc"]["mean"] is None
        assert "There is no calibration" in (tmp_path / "card.html").read_text()

    def test_members_that_are_worse(self):
        found = assess_with(members=OUT, held_out=IN, rerun=None)
        assert found.fitted.refusal.startswith("no gap")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held_out": with_changed(IN[0][:3], rows=slice(3))}, "3 examples that are members too"),
        ({"held_out": with_changed(np.nan, rows=4)}, r"held_out\[0\] has 1 examples with values"),
        ({"members": with_changed(y=2, part=IN, rows=0)}, r"members\[1\] has labels from 0 to 2"),
        ({"members": with_changed(y=-1, part=IN, rows=0)}, r"members\[1\] has labels from -1"),
        ({"held_out": (OUT[0], np.eye(2)[OUT[1]])}, r"held_out\[1\] has shape .* one-hot"),
        ({"held_out": (OUT[0], OUT[1][:-1])}, "held_out holds inputs of shape"),
        ({"held_out": (OUT[0], OUT[1] / 2)}, r"held_out\[1\] must hold whole numbers"),
        ({"held_out": (OUT[0][:9], OUT[1][:9])}, "held_out has 9 examples; at least 20"),
        ({"held_out": (OUT[0][:, :5], OUT[1])}, r"examples of shape .* prepare them"),
        ({"held_out": OUT[0]}, "held_out must be a pair"),
        ({"apply": lambda params, x: x @ params["w"]}, "apply gives .* logits"),
        ({"rerun": (parameters()[1], AGAIN[:-1])}, r"rerun\[1\] is of shape"),
        ({"rerun": (parameters()[1], FIRST)}, r"rerun\[1\] leaves out 0 members"),
        ({"rerun": ({"v": X[0]}, AGAIN)}, r"rerun\[0\] has other parameters"),
        ({"rerun": AGAIN}, "rerun must be a pair"),
        ({"loss": "squared_error"}, "loss='squared_error' cannot be assessed"),
        ({"microbatch_size": 0}, "microbatch_size=0 must be at least 1"),
    ],
)
def test_bad_input_is_said_before_long_work(change, message):
    def no_work(done, total):
        raise AssertionError("work has started")

    with pytest.raises(ValueError, match=message):
        assess_with(progress=no_work, **change)


class TestJudgement:
    def test_other_preprocessing(self):
        found = assess_with(held_out=(OUT[0] * 3, OUT[1]), rerun=None)
        assert "prepared in another way" in found.unsafe[0]
        found = assess_with(held_out=(OUT[0] + X.std(), OUT[1]), rerun=None)
        assert "prepared in another way" in found.unsafe[0]

    def test_a_rare_feature_is_no_other_preprocessing(self):
        """As a pixel that is lit in few images: by chance it hardly varies among members."""
        parts = [(x.copy(), y) for x, y in (IN, OUT)]
        for (x, _), lit in zip(parts, ([0.01], [1.0, 1.0])):
            x[:, 0] = 0
            x[: len(lit), 0] = lit
        found = assess_with(members=parts[0], held_out=parts[1], rerun=None)
        assert not any("prepared in another way" in line for line in found.unsafe)

    def test_repetitions(self):
        x, y = with_changed(IN[0][0], part=IN, rows=1)
        y[1] = 1 - y[0]
        found = assess_with(members=(x, y))
        assert any("1 members and 0 held-out examples repeat" in line for line in found.warnings)
        assert any("another label" in line for line in found.warnings)

    def test_few_held_out(self):
        first, _ = parameters()
        found = gujax.assess(logits, first, IN, (OUT[0][:100], OUT[1][:100]))
        assert "Only 100 held-out examples" in found.warnings[0]

    def test_labels_of_which_the_model_is_sure_that_they_are_wrong(self):
        first, _ = parameters()
        sure = {"w": 10 * first["w"]}
        found = gujax.assess(logits, sure, IN, OUT, num_resamples=2)
        phi = OUT[0] @ sure["w"] * (2 * OUT[1] - 1)
        wrong = np.sum(phi < np.log(0.01 / 0.99))
        told = f"gives {wrong} held-out examples ({100 * wrong / len(phi):.1f} %)"
        assert any(told in line for line in found.warnings)

    def test_a_signal_that_varies_more_for_some_than_for_others(self):
        alike, uneven = (unevenly_varying(spread) for spread in (0.0, 1.0))
        assert not any("varies much more" in line for line in alike.warnings)
        assert any("varies much more" in line for line in uneven.warnings)

    def test_label_smoothing_that_nobody_named(self):
        sure = np.mean([scaled_confidence(logits(p, X), Y) for p in parameters()], axis=0) > 2
        pulled = [np.where(sure & mask, -1.0, 0.0) for mask in (FIRST, AGAIN)]
        assert 0.3 < sure.mean() < 0.5
        unnamed = with_offsets(*pulled)
        assert "Training lowers the signal" in unnamed.unsafe[-1]
        assert not unnamed.check(max_auc=1.0)
        assert not any("Training lowers" in line for line in with_offsets(*pulled, 0.1).unsafe)
        assert not any(
            "Training lowers" in line for line in with_offsets(*-np.array(pulled)).unsafe
        )

    def test_label_smoothing_needs_a_rerun(self):
        first, again = parameters()
        with pytest.raises(ValueError, match=r"label_smoothing=0\.1 needs a rerun"):
            gujax.assess(logits, first, IN, OUT, label_smoothing=0.1)
        with pytest.raises(ValueError, match=r"label_smoothing=1 must be in \[0, 1\)"):
            gujax.assess(logits, first, IN, OUT, rerun=(again, AGAIN), label_smoothing=1)
        # Trained without: what it would have moved down did move up, so that nothing fits.
        assert assessed(label_smoothing=0.2).auc != assessed().auc

    def test_nothing_to_say(self):
        assert assessed().warnings == assessed().unsafe == ()


def unevenly_varying(spread):
    """An assessment where every φ has noise, of a deviation that is log-normal over examples."""
    rng = np.random.default_rng(3)
    place = rng.permutation(len(Y))
    deviation = np.exp(spread * rng.normal(size=len(Y)) - spread**2)  # root mean square 1
    first, again = (deviation * rng.normal(size=len(Y)) for _ in range(2))
    return with_offsets(first[place], again[place])


def with_offsets(first, again, label_smoothing=0.0):
    """An assessment where these are added to every φ of the published model and of the rerun."""
    runs = [
        {**params, "offset": (offset * (2 * Y - 1)).astype(np.float32)}
        for params, offset in zip(parameters(), (first, again))
    ]
    place = np.arange(len(Y), dtype=np.float32)

    def apply(params, x):
        offset = jax.lax.stop_gradient(params["offset"])[x["place"].astype(int)]
        return logits(params, x["x"]) + offset[:, None] * jax.numpy.array([-0.5, 0.5])

    inside, outside = (({"x": X[side], "place": place[side]}, Y[side]) for side in (FIRST, ~FIRST))
    return gujax.assess(
        apply,
        runs[0],
        inside,
        outside,
        rerun=(runs[1], AGAIN),
        label_smoothing=label_smoothing,
        num_resamples=2,
    )


class TestPolicy:
    def test_the_upper_end_decides(self):
        found = assessed()
        between = (found.auc.mean + found.auc.high) / 2
        assert found.check(max_auc=found.auc.high)
        assert not found.check(max_auc=between)
        assert not found.check(max_auc=1, max_tpr_1pct=0.0, max_tpr_01pct=1, max_example_auc=1)

    def test_no_limit(self):
        with pytest.raises(ValueError, match="no limit is given"):
            assessed().check()


class TestSave:
    def test_files(self, tmp_path):
        found = assessed()
        found.save(tmp_path / "new" / "card")
        names = {path.name for path in (tmp_path / "new" / "card").iterdir()}
        assert names == {"card.html", "card.json", "per_example.parquet"}
        content = json.loads((tmp_path / "new/card/card.json").read_text())
        assert content["auc"]["mean"] == found.auc.mean
        rows = pl.read_parquet(tmp_path / "new/card/per_example.parquet")
        assert rows["shift"].to_list() == found.shift.tolist()
        assert rows["position"].to_list() == [*range(MEMBERS), *range(len(Y) - MEMBERS)]

    def test_the_page_names_who_is_exposed(self, tmp_path):
        found = assessed()
        found.save(tmp_path, found.check(max_auc=0.5))
        page = (tmp_path / "card.html").read_text()
        most = found.attack.mu[:MEMBERS].argmax()
        assert f"<td>{most}</td>" in page
        assert "Do not publish" in page

    def test_a_missing_package_is_named_and_nothing_written(self, tmp_path, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
        with pytest.raises(ModuleNotFoundError, match=r"gujax\[cards\]"):
            assessed().save(tmp_path / "card")
        assert not (tmp_path / "card").exists()
