import jax
import numpy as np
import pytest

import gujax
from gujax.leakage import assign_folds, linear, mlp, split_layers, v_information
from gujax.models import mlp as mlp_model
from gujax.statistics import bootstrap_mean
from gujax.training import cross_entropy_loss


def rotated(rows, seed=0):
    """Mix the features with each other and with scales of their own."""
    rng = np.random.default_rng(seed)
    return (
        rows
        @ np.linalg.qr(rng.normal(size=(rows.shape[1],) * 2))[0]
        * rng.lognormal(size=rows.shape[1])
    )


def binary_channels(amplitudes, num=2000, width=20, probability=0.5):
    """A Bernoulli attribute sent as ±amplitude through Gaussian noise, hidden among noise."""
    rng = np.random.default_rng(0)
    attribute = rng.random(num) < probability
    channels = {}
    for amplitude in amplitudes:
        rows = rng.normal(size=(num, width))
        rows[:, 0] += amplitude * (2 * attribute - 1)
        channels[amplitude] = rotated(rows)
    return channels, attribute


@pytest.mark.parametrize(
    "family", [linear(), pytest.param(mlp(8), marks=pytest.mark.long)], ids=["linear", "mlp"]
)
def test_binary_input_gaussian_channel(family):
    # The posterior's log odds are linear in the channel's output, so that both families contain
    # the truth and V-information is mutual information.
    channels, attribute = binary_channels((0.0, 0.5, 2.0))
    for amplitude, result in v_information(channels, attribute, family).items():
        truth = float(gujax.binary_information(amplitude**2))
        assert result.information.mean == pytest.approx(truth, abs=0.05)
        assert result.information.low - 0.02 < truth < result.information.high + 0.02
        assert result.control.low - 1e-3 < 0 < result.control.high + 1e-3
        assert result.entropy == pytest.approx(np.log(2), abs=2e-3)
        assert result.pointwise.mean() == pytest.approx(result.information.mean)


def test_unbalanced_attribute():
    channels, attribute = binary_channels((1.0,), probability=0.2)
    result = v_information(channels, attribute)[1.0]
    variance = 0.2 * 0.8
    truth = float(gujax.binary_information(4 * variance, inclusion_probability=0.2))
    assert result.information.mean == pytest.approx(truth, abs=0.03)
    assert result.entropy == pytest.approx(-0.2 * np.log(0.2) - 0.8 * np.log(0.8), abs=0.03)


@pytest.mark.parametrize(
    "family", [linear(), pytest.param(mlp(16), marks=pytest.mark.long)], ids=["linear", "mlp"]
)
def test_continuous_attribute_of_jointly_gaussian_variables(family):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 5))
    noise = rng.normal(size=(2000, 2))
    attribute = 7 * (x[:, :2] * [2.0, 0.5] + noise) - 3  # two independent Gaussian channels
    truth = (np.log1p(4.0) + np.log1p(0.25)) / 2
    result = v_information({"x": rotated(x)}, attribute, family)["x"]
    assert result.information.mean == pytest.approx(truth, abs=0.05)
    assert result.control.low - 1e-3 < 0 < result.control.high + 1e-3
    entropy = np.log(2 * np.pi * np.e * 49 * np.sqrt(5.0 * 1.25))
    assert result.entropy == pytest.approx(entropy, abs=0.05)


def test_the_family_decides_what_is_usable():
    # Two signs under noise; the attribute is their product, through 10 % bit flips: nothing for a
    # linear predictor, and the capacity of that binary channel for one that can multiply.
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (2000, 2))
    attribute = (signs.prod(axis=1) > 0) ^ (rng.random(2000) < 0.1)
    x = {"x": rotated(signs + 0.2 * rng.normal(size=(2000, 2)))}
    capacity = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    assert abs(v_information(x, attribute)["x"].information.mean) < 0.01
    found = v_information(x, attribute, mlp())["x"].information
    assert found.mean == pytest.approx(capacity, abs=0.05)


def test_nothing_to_learn_is_zero_within_its_interval():
    rng = np.random.default_rng(0)
    covered, values = [], []
    for seed in range(2):
        noise = {str(i): rng.normal(size=(400, 10)) for i in range(20)}
        attribute = rng.integers(0, 3, 400)
        for result in v_information(noise, attribute, seed=seed).values():
            for estimate in (result.information, result.control):
                covered.append(estimate.low <= 0 <= estimate.high)
                values.append(estimate.mean)
    assert np.mean(covered) > 0.95
    assert abs(np.mean(values)) < 1e-3


def test_layers_of_a_network():
    # Logits minus one-hot label is the last bias's gradient: it gives the label away entirely.
    rng = np.random.default_rng(0)
    model = mlp_model((6,), 3, hidden=(5,))
    x, y = rng.normal(size=(300, 6)), np.arange(300) % 3
    grads = gujax.per_example_grads(cross_entropy_loss(model), method="dense")(
        model.init(jax.random.key(0)), (x, y)
    )
    layers = split_layers(grads, ["layers/0/bias", "layers/1/bias", "layers/1"])
    results = v_information(layers, y)
    assert list(results) == list(layers)
    for name in ("layers/1/bias", "layers/1"):
        assert results[name].information.mean == pytest.approx(np.log(3), abs=0.1)
    assert results["layers/0/bias"].information.mean < results["layers/1/bias"].information.mean


def test_a_confident_mistake_does_not_decide_the_mean():
    # One direction gives the class away, with 5 % mistakes and amplitudes over four decades.
    rng = np.random.default_rng(0)
    attribute = rng.random(1000) < 0.5
    sign = np.where(rng.random(1000) < 0.05, -1, 1) * (2 * attribute - 1)
    rows = (sign * 10 ** rng.uniform(-2, 2, 1000))[:, None]
    result = v_information({"x": rows}, attribute)["x"]
    assert result.pointwise.min() > np.log(0.01)
    assert result.information.low > 0


def test_a_representation_that_never_varies_has_no_information():
    attribute = np.arange(100) % 2
    result = v_information({"dead": np.full((100, 4), 7.0)}, attribute)["dead"]
    assert result.information == (0, 0, 0)


def test_bootstrap_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = bootstrap_mean(rng.exponential(size=100), seed)
        covered += interval.low <= 1 <= interval.high
    assert 0.89 < covered / 200 < 0.98  # five sigma would be 0.95 ± 0.08; skew costs about 2 %


def test_examples_with_members_in_common_need_common_folds():
    # Ten noisy copies of each of 40 points; the attribute of a point is a coin toss. Whoever has
    # copies of a point on both sides of the split recognizes it and finds information in noise.
    rng = np.random.default_rng(0)
    points, tosses = rng.normal(size=(40, 30)), np.arange(40) % 2
    x, y = (np.repeat(values, 10, axis=0) for values in (points, tosses))
    x = {"x": x + 0.1 * rng.normal(size=x.shape)}
    folds = np.repeat(assign_folds(tosses, seed=1), 10)
    assert np.array_equal(np.bincount(folds), [80] * 5)
    assert v_information(x, y)["x"].information.mean > 0.2
    assert v_information(x, y, folds=folds)["x"].information.mean < 0.02


def test_given_folds_that_do_not_fit():
    x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
    with pytest.raises(ValueError, match=r"folds has shape \(99,\)"):
        v_information({"x": x}, y, folds=np.arange(99) % 5)
    with pytest.raises(ValueError, match="no example of class 1 in fold 0"):
        v_information({"x": x}, y, folds=np.arange(100) % 4)


def test_bad_arguments():
    x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
    with pytest.raises(ValueError, match="attribute is constant"):
        v_information({"x": x}, np.ones(100, int))
    with pytest.raises(ValueError, match="constant in 1 of its 2 dimensions"):
        v_information({"x": x}, np.stack([x[:, 0], np.ones(100)], axis=1))
    with pytest.raises(ValueError, match=r"representations\['x'\] has 100 examples, attribute"):
        v_information({"x": x}, y[:60])
    with pytest.raises(ValueError, match=r"class of 4 examples; .* at least 10"):
        v_information({"x": x}, np.arange(100) < 4)
    with pytest.raises(ValueError, match="at least 50 are needed"):
        v_information({"x": x[:40]}, y[:40])
    with pytest.raises(ValueError, match=r"\['wide'\] is 70 wide, .* at least 119 examples, got"):
        v_information({"wide": np.ones((100, 70))}, y)
    with pytest.raises(ValueError, match="num_folds=2 must be at least 3"):
        v_information({"x": x}, y, num_folds=2)
    with pytest.raises(ValueError, match="not finite"):
        v_information({"x": x * np.nan}, y)
