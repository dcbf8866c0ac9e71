from functools import partial

import jax
import numpy as np
import pytest

from experiments.framework.errors import UserError
from experiments.inversion import attacks
from experiments.inversion.attacks import labels as label_counts
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.measuring import rows
from experiments.inversion.search import Outcome, SearchBudget, inverting_gradients
from experiments.inversion.sharing import Victims, share
from experiments.inversion.space import Space
from experiments.tasks.task import Task
from gujax import data, models, training
from gujax.trees import named_leaves

KEY = jax.random.key(3)
SIZE, FEATURES, CLASSES = 4, 5, 3


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SIZE, FEATURES)).astype(np.float32)
    split = data.Split.from_arrays(x, np.arange(SIZE) % CLASSES)
    model = models.mlp((FEATURES,), CLASSES, (7, 6))
    loss_fn = training.cross_entropy_loss(model)
    return Task(data.Dataset("random", split, split, CLASSES), model, "MLP", loss_fn)


@pytest.fixture(scope="module")
def params(task):
    return jax.jit(task.model.init)(KEY)


@pytest.fixture(scope="module")
def gradients(task, params):
    """Of every example, in float64."""
    one = jax.jit(jax.grad(task.loss_fn))
    split = task.dataset.train
    return [flat(one(params, (x, y))) for x, y in zip(split.x, split.y)]


def flat(tree):
    return np.concatenate([np.ravel(leaf) for _, leaf in named_leaves(tree)]).astype(np.float64)


def victims(task):
    split = task.dataset.train
    return Victims(split.x, split.y, split.ids)


def received(task, params, name, **setting):
    (shared,) = build_shared_updates(task, [name], Setting(**setting))
    return share(shared, params, victims(task), KEY)


def updates(received):
    count = len(jax.tree.leaves(received.updates)[0])
    return [flat(jax.tree.map(lambda leaf, i=i: leaf[i], received.updates)) for i in range(count)]


@pytest.mark.parametrize(("name", "size"), [("none", 1), ("batch:2", 2), ("batch:4", 4)])
def test_mean_gradients_are_shared(task, params, gradients, name, size):
    found = updates(received(task, params, name))
    expected = np.reshape(gradients, (SIZE // size, size, -1)).mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "precode", "local_steps:2"])
def test_searches_may_see_the_same_update_with_another_curvature(task, name):
    (shared,) = build_shared_updates(task, [name])
    params, x = shared.model.init(KEY), task.dataset.train.x[: shared.num_examples]

    def squared_norm(x, sharpness):
        model_of_update = shared.naive.model_of_update(sharpness)
        assert model_of_update == shared.naive.model_of_update(sharpness)  # compiled once
        update = model_of_update(params, (x, np.zeros(len(x), int)))
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(update))

    (value, plain), (same, other) = (jax.value_and_grad(squared_norm)(x, s) for s in (0.0, 1.0))
    assert same == value
    assert np.abs(other - plain).max() > 1e-3 * np.abs(plain).max()


def test_noise_is_relative_to_the_update(task, params, gradients):
    (shared,) = build_shared_updates(task, ["laplacian:2"])
    many = [
        np.subtract(updates(share(shared, params, victims(task), key)), gradients)
        for key in jax.random.split(KEY, 40)
    ]
    rms = np.sqrt(np.mean(np.square(gradients), axis=1))
    np.testing.assert_allclose(np.std(many, axis=(0, 2)), 2 * rms, rtol=0.1)


def test_pruning_keeps_the_largest_of_every_leaf(task, params, gradients):
    (first, *_) = updates(received(task, params, "prune:0.5"))
    kept = first != 0
    np.testing.assert_allclose(first[kept], gradients[0][kept], atol=1e-6)
    assert 0.3 < kept.mean() < 0.55


def test_local_steps_are_a_walk(task, params):
    (found,) = updates(received(task, params, "local_steps:4", local_learning_rate=0.3))
    split, here = task.dataset.train, params
    gradient_of = jax.jit(jax.grad(task.loss_fn))
    for x, y in zip(split.x, split.y):
        gradient = gradient_of(here, (x, y))
        here = jax.tree.map(lambda p, g: p - 0.3 * g, here, gradient)
    np.testing.assert_allclose(found, (flat(params) - flat(here)) / (4 * 0.3), atol=1e-5)


@pytest.mark.parametrize(("name", "weights"), [("gate:0.5", [0, 1]), ("clip:0.05", None)])
def test_what_the_attacker_is_told_explains_what_is_released(task, params, name, weights):
    found = received(task, params, name, crowd=4)
    adversary = found.shared.adaptive
    x, _ = jax.tree.map(lambda leaf: leaf[0], found.examples)
    side_information = jax.jit(adversary.side_information)(
        params, jax.tree.map(lambda leaf: leaf[0], found.examples)
    )
    if weights:
        assert set(np.asarray(side_information[1]).tolist()) == set(weights)
    else:
        assert np.ptp(side_information[1]) > 0
    expected, observed = (
        flat(jax.jit(adversary.model_of_update())(params, (x, side_information))),
        updates(found)[0],
    )
    cosine = expected @ observed / np.linalg.norm(expected) / np.linalg.norm(observed)
    assert cosine == pytest.approx(1, abs=1e-5)


def test_a_bottleneck_and_its_noise(task):
    shared_updates = build_shared_updates(task, ["precode", "ppp:1"])
    params = jax.jit(shared_updates[0].model.init)(KEY)
    (a, b), (c, d) = (
        [share(shared, params, victims(task), key).updates for key in jax.random.split(KEY)]
        for shared in shared_updates
    )
    stochastic = shared_updates[0].stochastic
    assert "layers/2/bottleneck/encoder/kernel" in stochastic
    assert shared_updates[0].last_layer == "layers/2/layer"
    for (path, one), (_, other) in zip(named_leaves(a), named_leaves(b)):
        assert (np.asarray(one) != np.asarray(other)).any(), path
    # The direction of the first layer's gradient is the input's, whatever the noise.
    rank = [np.linalg.matrix_rank(u["layers"][0]["kernel"][0], tol=1e-5) for u in (a, b, c, d)]
    assert rank[:2] == [1, 1]
    assert min(rank[2:]) > 1


def test_labels_of_a_batch_are_counted_in_any_order(task, params):
    found = received(task, params, "batch:4")
    outcome = label_counts.run(found, None, KEY)
    expected = np.sort(task.dataset.train.y)
    if (np.sort(outcome.labels) == expected).all():
        np.testing.assert_array_equal(outcome.labels, task.dataset.train.y)
    np.testing.assert_array_equal(
        label_counts.aligned(np.array([0, 2, 2, 1]), np.array([2, 1, 1, 0])), [2, 1, 2, 0]
    )


@pytest.fixture(scope="module")
def plain(task, params):
    return received(task, params, "none")


class TestRows:
    IMAGE = Space((0.5,), (0.25,), is_image=True)

    def of(self, plain, space, truth, found, labels=None):
        examples = Victims(truth.astype(np.float32), np.zeros(len(truth), int), np.arange(2))
        outcome = Outcome(found.astype(np.float32), labels)
        return rows(plain, "ig", outcome, examples, space)

    def test_of_images(self, plain):
        rng = np.random.default_rng(1)
        pixels = rng.uniform(size=(2, 8, 8, 1))
        truth = (pixels - 0.5) / 0.25
        found = truth.copy()
        found[1] = np.nan
        frame = self.of(plain, self.IMAGE, truth, found, np.array([0, 1]))
        np.testing.assert_allclose(frame["ssim"][0], 1, atol=1e-4)
        assert frame["success"].to_list() == [True, False]
        # What diverged counts as the mean picture.
        np.testing.assert_allclose(frame["mse"][1], ((pixels[1] - 0.5) ** 2).mean(), rtol=1e-4)
        assert frame["label_recovered"].to_list() == [True, False]
        assert frame["matching_loss"].is_null().all()

    def test_of_features(self, plain):
        space = Space((1.0,) * FEATURES, (2.0,) * FEATURES, is_image=False)
        truth = np.ones((2, FEATURES))
        found = truth * np.array([[1.05], [1.2]])
        frame = self.of(plain, space, truth, found)
        np.testing.assert_allclose(frame["feature_error"], [0.05, 0.2], rtol=1e-4)
        np.testing.assert_allclose(frame["mse"], [0.1**2, 0.4**2], rtol=1e-4)
        assert frame["success"].to_list() == [True, False]
        assert frame["ssim"].is_null().all()


def test_examples_that_do_not_divide(task, params):
    with pytest.raises(UserError, match="--victims 4 must be a multiple of the 3 examples"):
        received(task, params, "batch:3")


def test_an_attack_is_compiled_once_for_all_seeds(task):
    space = Space((0.0,), (1.0,), is_image=True)
    budget = SearchBudget(space, 3, 0.1, 0.1)
    adversary = partial(inverting_gradients, budget=budget)
    first, second = (build_shared_updates(task, ["none"])[0].naive for _ in range(2))
    assert adversary(first) is adversary(second)


def test_a_defense_that_is_named_twice_is_attacked_once(task):
    labels = [
        s.label for s in build_shared_updates(task, ["gaussian", "gaussian:1", "none", "none"])
    ]
    assert labels == ["Gaussian noise 1", "no defense"]
    with pytest.raises(UserError, match="'batch:inf' is not a finite number"):
        build_shared_updates(task, ["batch:inf"])


def test_whoever_attacks_inputs_of_a_bottleneck_also_does_so_knowing_of_it(task):
    (precode,) = build_shared_updates(task, ["precode"])
    assert attacks.applicable(precode, ["dlg"]) == ["adaptive", "dlg"]
    assert attacks.applicable(precode, ["analytic"]) == ["adaptive", "analytic"]
    assert attacks.applicable(precode, ["idlg", "labels"]) == ["idlg", "labels"]
