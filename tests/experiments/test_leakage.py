"""A small run of the job `leakage` through the real command line, and its parts by hand."""

import inspect
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from experiments.framework.errors import UserError
from experiments.jobs.leakage.attributes import find, stroke_thickness
from experiments.jobs.leakage.conditions import Condition, make_sweeps
from experiments.jobs.leakage.observing import (
    WHOLE,
    LayerGradients,
    companions,
    draw_pool,
    observe,
    shuffled,
)
from experiments.jobs.leakage.options import Options
from experiments.jobs.leakage.structure import default_layers, fully_connected_layers
from gujax import data, models
from gujax.leakage import coordinates_from_gram
from tests.experiments.running import complete_run, mistakes_of, referred, results_of_run

SEEDS, EXAMPLES, VICTIMS = 2, 80, 4
LAYERS = ("layers/0", "layers/1")


run, test_the_run_is_complete = complete_run(
    f"leakage --model mlp --hidden 8 --attribute parity --seeds {SEEDS} --train-size 200 "
    f"--examples {EXAMPLES} --epochs 0 1 --batch-sizes 4 --noise 1 --width 4 --folds 3 "
    f"--input-components 2 --subspace-dimensions 1 3 --sensitivity-examples 5 --probes 2 "
    f"--victims {VICTIMS} --iterations 3",
    "claims.json",
    "layers.parquet",
    "subspaces.parquet",
    "examples.parquet",
    "networks.parquet",
)


results = results_of_run()


def test_the_report_is_named(run):
    assert str(run[0] / "report.html") in run[1]


def test_every_condition_and_layer_is_measured_once(run):
    table = pl.read_parquet(run[0] / "layers.parquet")
    conditions = 2 + 1 + 1 + 1 + 1  # epochs, two kinds of batches, dropout, noise
    assert len(table) == SEEDS * conditions * (len(LAYERS) + 1)
    keys = ["seed", "epoch", "batch_size", "alike", "noise", "dropout", "layer"]
    assert table.select(keys).is_unique().all()
    assert set(table["layer"]) == {*LAYERS, WHOLE}
    # Logits minus one-hot label are the last bias's gradient: parity of the label is in it.
    last = table.filter((pl.col("layer") == LAYERS[1]) & (pl.col("noise") == 0))
    assert last["auc"].mean() > 0.7
    noisy = table.filter(pl.col("noise") == 1)
    assert noisy["auc"].mean() < 0.65  # noise as large as the gradient, in every direction
    counts = pl.read_parquet(run[0] / "examples.parquet").group_by("seed", "epoch", "layer").len()
    assert (counts["len"] == EXAMPLES).all()


def test_the_results_follow_from_the_tables(run, results):
    table = pl.read_parquet(run[0] / "layers.parquet")
    noise = results.where(sweep="noise")
    assert noise.values("level") == [0, 1]
    for column in ("auc", "input_mlp", "sensitivity"):
        for level in (0.0, 1.0):
            rows = table.filter(
                (pl.col("noise") == level)
                & (pl.col("epoch") == 1)
                & (pl.col("batch_size") == 1)
                & (pl.col("dropout") == 0)
                & (pl.col("layer") == LAYERS[0])
            ).sort("seed")
            found = noise.get(column, level=level, layer=LAYERS[0])
            assert found.values == pytest.approx(rows[column].to_numpy())
            assert found.mean == pytest.approx(rows[column].mean())
    fall = results.get("auc", contrast="noise")
    means = [np.mean([noise.get("auc", level=i, layer=x).mean for x in LAYERS]) for i in (0, 1)]
    assert fall.mean == pytest.approx(means[0] - means[1])
    # No convolutions, so no layers after them.
    assert not results.where(contrast="fully connected").entries
    training = results.where(sweep="epoch")
    gaps = [
        np.log10(
            training.get("sensitivity", level=i, layer=LAYERS[0]).values
            / training.get("sensitivity", level=i, layer=LAYERS[1]).values
        )
        for i in (0, 1)
    ]
    lead = results.get("sensitivity", contrast="first layers")
    assert lead.values == pytest.approx(np.mean(gaps, axis=0))
    summary = json.loads((run[0] / "summary.json").read_text())
    assert summary["first layers"]["sensitivity"]["mean"] == pytest.approx(lead.mean)


def test_controls_and_subspaces_are_those_of_the_tables(run, results):
    table = pl.read_parquet(run[0] / "layers.parquet")
    control = table["input_mlp_control"].to_numpy()
    found = results.where(predicted="input_mlp")
    assert found.get("control_mean").mean == pytest.approx(control.mean())
    assert found.get("control_largest").mean == pytest.approx(np.abs(control).max())
    assert found.get("control_estimates").mean == len(table)
    distances = pl.read_parquet(run[0] / "subspaces.parquet").filter(
        (pl.col("epoch") == 1)
        & (pl.col("batch_size") == 1)
        & (pl.col("noise") == 0)
        & (pl.col("dropout") == 0)
        & (pl.col("layer") == LAYERS[0])
    )
    for k in (1, 3):
        rows = distances.filter(pl.col("k") == k).sort("seed")
        for name in ("distance", "control"):
            of_k = results.get(f"subspace_{name}", layer=LAYERS[0], k=k)
            assert of_k.values == pytest.approx(rows[name].to_numpy())


def test_correlations_follow_from_the_table_of_examples(run, results):
    table = pl.read_parquet(run[0] / "examples.parquet").filter(
        (pl.col("layer") == WHOLE) & (pl.col("epoch") == 0)
    )
    found = results.where(over="examples, epoch 0", pair="gnq,recovered")
    assert found.get("points").mean == VICTIMS
    for seed, value in enumerate(found.get("spearman").values):
        inverted = table.filter(pl.col("seed") == seed).drop_nulls("ssim")
        assert len(inverted) == VICTIMS
        expected = stats.spearmanr(inverted["gnq"], inverted["ssim"]).statistic
        assert value == pytest.approx(expected)


def test_claims_have_verdicts_and_the_report_shows_them(run, results):
    out, _ = run
    claims = json.loads((out / "claims.json").read_text())
    by_key = {claim["key"]: claim for claim in claims}
    assert set(by_key) == {
        "leakage-first-layers",
        "leakage-fully-connected",
        "leakage-attribute",
        "leakage-aggregation",
        "leakage-aggregation-mixed",
        "leakage-dropout",
        "leakage-noise",
    }
    assert by_key["leakage-fully-connected"]["verdict"] == "not tested at this scale"
    assert by_key["leakage-noise"]["effects"][-1] == pytest.approx(
        results.get("auc", contrast="noise").interval
    )
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert all(source.startswith("data:image/svg+xml;") for source in referred(page))
    for claim in claims:
        assert claim["verdict"] in page
    assert "Threat model" in page


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "leakage",
    [
        ("--attribute colour", "--attribute brightness, thickness, parity, animal, column:NUMBER"),
        ("--attribute colour", "attribute='colour': the embedded data set 'digits'"),
        ("--target brightness", "target='brightness': the embedded data set 'digits'"),
        ("--attribute animal", "needs the classes of cifar10"),
        ("--attribute column:3", "is of tabular data"),
        ("--attribute column:x", "needs a number"),
        ("--dataset breast_cancer --model mlp", "--attribute brightness is of images"),
        ("--dataset breast_cancer --model mlp --attribute parity", "is of images"),
        ("--dataset breast_cancer --model mlp --attribute column:30", "are 0 to 29"),
        ("--dataset breast_cancer --model mlp --attribute column:0", "choose a binary column"),
        ("--attribute class:10", "are 0 to 9"),
        ("--attribute class:0 --train-size 5", "is constant on the 5 training examples"),
        ("--attribute function:no.such.module.f", "No module named 'no'"),
        ("--layers conv", "layers has 'conv', which matches no parameter"),
        ("--examples 2000", "--examples 2000: digits has 1437"),
        ("--width 65", "--width 65 is more than the 64 directions"),
        ("--examples 60 --batch-sizes 2 --width 30", "fewer than the 65 that predictors"),
        ("--examples 100 --batch-sizes 64", "too few for batches of 64"),
        ("--reference-epoch 3", "--reference-epoch 3 must be one of --epochs 0 1 10"),
        ("--epochs -1", "--epochs -1"),
        ("--batch-sizes 1", "--batch-sizes 1 must be at least 2"),
        ("--victims 501", "--victims 501"),
        ("--dropout 1", "--dropout 1.0"),
        ("--noise 0", "--noise 0.0"),
        ("--folds 2", "--folds 2"),
    ],
)


def dataset(x, y, names=None):
    split = data.Split.from_arrays(np.asarray(x), np.asarray(y))
    return data.Dataset("made", split, split, int(np.max(y)) + 1, names)


def test_brightness_is_the_mean_pixel_above_the_median():
    x = np.zeros((4, 2, 2, 1))
    x[:, 0, 0, 0] = [0.1, 0.9, 0.3, 0.8]
    assert find("brightness", dataset(x, [0, 1, 2, 0])).values.tolist() == [0, 1, 0, 1]


def test_thickness_of_rectangles():
    images = np.zeros((4, 12, 12, 1))
    for image, (length, thickness) in zip(images, [(10, 1), (10, 2), (8, 3), (10, 2)]):
        image[1 : 1 + length, 4 : 4 + thickness] = 1
    images[3] *= 0.25  # faint ink is as thick
    expected = [10 / 11, 20 / 12, 24 / 11, 20 / 12]
    np.testing.assert_allclose(stroke_thickness(images), expected, rtol=1e-6)
    assert stroke_thickness(np.zeros((1, 4, 4, 1))) == 0
    thick = find("thickness", dataset(images[:3], [0, 1, 2]))
    assert thick.values.tolist() == [False, False, True]


def test_parity_and_animals_follow_the_class_names():
    x = np.zeros((4, 2, 2, 1))
    digits = tuple("0123")
    assert find("parity", dataset(x, [3, 0, 1, 2], digits)).values.tolist() == [1, 0, 1, 0]
    names = ("airplane", "cat", "truck")
    assert find("animal", dataset(x, [1, 0, 2, 1], names)).values.tolist() == [1, 0, 0, 1]
    with pytest.raises(UserError, match="parity is of digits; the classes of made are airplane"):
        find("parity", dataset(x, [1, 0, 2, 1], names))


def test_columns_classes_and_functions():
    x, y = [[0, 5.0], [1, 5], [1, 7], [0, 6]], [0, 1, 2, 0]
    assert find("column:0", dataset(x, y)).values.tolist() == [0, 1, 1, 0]
    assert find("class:2", dataset(x, y)).values.tolist() == [0, 0, 1, 0]
    own = find(f"function:{__name__}.large", dataset(x, y))
    assert own.values.tolist() == [0, 0, 1, 1]
    with pytest.raises(UserError, match="column:1 has 3 different values"):
        find("column:1", dataset(x, y))
    with pytest.raises(UserError, match="column:0 is the label of made itself"):
        find("column:0", dataset(x, [1, 0, 0, 1]))
    assert find("class:1", dataset(x, [1, 0, 0, 1])).values.tolist() == [1, 0, 0, 1]


def people(subgroups, names=None):
    split = data.Split.from_arrays(np.zeros((4, 2)), [0, 1, 1, 0], subgroups)
    return data.Dataset("made", split, split, 2, attribute="who/sex", attribute_names=names)


def test_features_are_attributes_whole_or_one_value_against_the_others():
    sex = find("who/sex", people([2, 2, 0, 0], ("a", "b", "c")))
    assert (sex.meaning, sex.names, sex.values.tolist()) == ("sex", ("a", "c"), [1, 1, 0, 0])
    assert sex.question == "the sex"
    assert sex.shares == "a 50 %, c 50 %"
    assert sex.named(sex.values[1:3]).tolist() == ["c", "a"]
    one = find("who/sex:c", people([2, 0, 0, 1], ("a", "b", "c")))
    assert (one.meaning, one.values.tolist()) == ("sex is c", [1, 0, 0, 0])
    assert one.shares == "true of 25 % of the training examples"
    assert find("who/sex", people([0, 1, 0, 0])).names == ("no", "yes")
    with pytest.raises(UserError, match=r"who/sex:b is no value .* choose from a, c"):
        find("who/sex:b", people([2, 0, 0, 2], ("a", "b", "c")))
    with pytest.raises(UserError, match="who/sex is the label of made itself"):
        find("who/sex", people([5, 3, 3, 5]))
    with pytest.raises(UserError, match="who/sex is constant on the 4"):
        find("who/sex", people([1, 1, 1, 1]))


def test_a_shuffled_attribute_stays_within_its_fold():
    pool = draw_pool(np.random.default_rng(0).integers(0, 3, 300), 200, num_folds=4, seed=1)
    order = shuffled(pool, seed=0)
    for fold in range(4):
        here = pool.folds == fold
        np.testing.assert_array_equal(np.sort(order[here]), np.sort(pool.attribute[here]))
    assert np.mean(order == pool.attribute) < 0.5  # a third agrees by chance


def large(split):
    return split.x[:, 1] > 5.5


def test_batches_stay_in_their_fold_and_share_the_attribute():
    attribute = np.random.default_rng(0).integers(0, 3, 300)
    pool = draw_pool(attribute, 200, num_folds=4, seed=1)
    assert len(np.unique(pool.indices)) == 200
    np.testing.assert_array_equal(pool.attribute, attribute[pool.indices])
    for condition in (Condition(0, 5), Condition(0, 5, alike=False)):
        batches = companions(pool, condition, seed=2)
        np.testing.assert_array_equal(batches[:, 0], np.arange(200))
        assert all(len(set(batch)) == 5 for batch in batches)
        assert (pool.folds[batches] == pool.folds[:, None]).all()
        alike = (pool.attribute[batches] == pool.attribute[:, None]).all()
        assert alike == condition.alike


def test_what_is_shared_is_what_averaging_and_noise_give():
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(80, 50)) @ np.diag(0.9 ** np.arange(50))
    gram = dense @ dense.T
    layer = LayerGradients(coordinates_from_gram(gram, 64, center=False), gram, 50)
    batches = np.stack([np.arange(80), np.roll(np.arange(80), 1)], axis=1)
    mean = dense[batches].mean(axis=1)
    seen = observe({WHOLE: layer}, batches, 0.0, 8, seed=0)[WHOLE]
    np.testing.assert_allclose(seen.norms, np.linalg.norm(mean, axis=1), rtol=1e-6)
    np.testing.assert_allclose(seen.rows @ seen.rows.T, mean @ mean.T, atol=1e-6)
    left, scales, _ = np.linalg.svd(mean - mean.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(seen.features), np.abs(left * scales)[:, :8], atol=1e-6)

    noisy = observe({WHOLE: layer}, batches, 0.5, 8, seed=0)[WHOLE]
    deviation = 0.5 * np.median(np.linalg.norm(dense, axis=1))
    added = noisy.features - seen.features
    assert added.std() == pytest.approx(deviation, rel=0.1)
    np.testing.assert_allclose(noisy.norms**2, seen.norms**2 + 50 * deviation**2, rtol=1e-6)


def test_the_grid_has_six_data_sets_and_every_setting_is_one_the_job_takes():
    path = Path(inspect.getfile(Options)).with_name("grid.json")
    settings = [Options(**setting) for setting in json.loads(path.read_text())]
    assert len({setting.dataset for setting in settings}) == 6
    assert {setting.model for setting in settings} == {"lenet", "convnet", "vgg", "resnet", "mlp"}
    assert len({(setting.dataset, setting.model) for setting in settings}) == len(settings)


def test_sweeps_vary_one_thing_at_a_time():
    sweeps = make_sweeps(
        Options(epochs=(0, 2), reference_epoch=2, batch_sizes=(4, 4), dropout=(), noise=(0.5,))
    )
    assert [sweep.name for sweep in sweeps] == ["epoch", "batch_size", "batch_size,mixed", "noise"]
    assert sweeps[2].conditions == (Condition(2), Condition(2, 4, alike=False))
    assert sweeps[3].labels == ["noise 0", "noise 0.5"]


@pytest.mark.parametrize(
    ("model", "connected"),
    [
        (models.vgg((8, 8, 1), 10), ("hidden", "head")),
        (models.lenet((8, 8, 1), 10), ("head",)),
        (models.resnet((8, 8, 1), 10), ("head",)),
        (models.mlp((8, 8, 1), 10), ()),
    ],
)
def test_fully_connected_layers(model, connected):
    layers = default_layers(model)
    assert fully_connected_layers(model, layers) == connected


def test_a_block_is_a_layer():
    layers = default_layers(models.resnet((8, 8, 1), 10))
    assert layers == ("stem", "stem_norm", "blocks/0", "blocks/1", "blocks/2", "head")
