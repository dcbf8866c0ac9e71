"""Training that shows, and stops at, the predicted attack."""

from functools import cache

import jax
import numpy as np
import optax
import pytest

import gujax
from gujax import models, training
from gujax.data import Split, load

HALF = 300


@cache
def noisy():
    """Digits with random classes, so that all fitting is learning by heart; half are held out."""
    x = load("digits").train.x[: 2 * HALF]
    y = np.random.default_rng(0).integers(0, 2, 2 * HALF).astype(np.int32)
    return (x[:HALF], y[:HALF]), (x[HALF:], y[HALF:])


MODEL = models.mlp((8, 8, 1), 2, (64,))


def train(epochs, **options):
    members, held_out = noisy()
    lines = []
    watch = training.ExposureWatch(MODEL.apply, members, held_out, show=lines.append, **options)
    result = training.train(
        training.cross_entropy_loss(MODEL),
        MODEL.init(jax.random.key(0)),
        Split.from_arrays(*members),
        optax.chain(gujax.transforms.mean(batch_size=50), optax.adam(1e-2)),
        batch_size=50,
        epochs=epochs,
        key=jax.random.key(1),
        callback=watch,
    )
    return result, watch, lines


def test_training_stops_at_the_chosen_exposure():
    result, watch, lines = train(40, every=4, max_auc=0.6)
    epoch, last = watch.history[-1]
    assert last.auc.mean > 0.6
    assert all(not found.auc.mean > 0.6 for _, found in watch.history[:-1])
    assert len(result.steps.loss) == epoch + 1 < 40
    assert [at for at, _ in watch.history] == list(range(3, epoch + 1, 4))
    assert len(lines) == len(watch.history)
    assert lines[-1].startswith(f"epoch {epoch + 1}: predicted AUC 0.")
    assert lines[-1].endswith("above 0.6, stopping")


def test_what_is_shown_is_what_assess_says():
    members, held_out = noisy()
    result, watch, lines = train(2, every=2)
    options = {"sketch_dimension": 512, "num_resamples": 50}
    found = gujax.assess(MODEL.apply, result.params, members, held_out, **options)
    ((epoch, seen),) = watch.history
    assert epoch == 1
    np.testing.assert_allclose(seen.shift, found.shift)
    assert ("no prediction" in lines[0]) == (not found.calibrated)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"every": 0}, "every=0 must"), ({"max_auc": 0.3}, "max_auc=0.3 must")]
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        training.ExposureWatch(MODEL.apply, *noisy(), **wrong)
