from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import gujax
from gujax import defenses, models
from gujax.attacks import inversion
from gujax.models._convnet import ConvNet
from gujax.models._lenet import LeNet
from gujax.models._mlp import MLP
from gujax.models._resnet import ResNet
from gujax.trees import named_leaves

IMAGE = (8, 8, 2)
LENET = partial(LeNet, IMAGE, 3, "relu")
DRAWS = jax.random.key(8)
OWN = ("decoder/bias", "decoder/kernel", "encoder/bias", "encoder/kernel")


def make_mlp(rngs):
    return MLP((6, 5, 4, 3), rngs=rngs)


def make_convnet(rngs):
    return ConvNet(2, 2 * 2 * 8, 3, (8, 8), rngs=rngs)


def make_resnet(rngs):
    return ResNet(2, 3, (8, 8), 1, rngs)


def layer(path, *leaves):
    return {f"{path}/{leaf}" for leaf in leaves or ("bias", "kernel")}


def own(before):
    return {f"{before}/bottleneck/{leaf}" for leaf in OWN} | layer(f"{before}/layer")


@pytest.fixture(scope="module")
def mlp():
    model = defenses.insert_bottleneck(
        models.from_module(make_mlp, (6,)), "layers/2", defenses.linear(7)
    )
    return model, jax.jit(model.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def gradient_fn(mlp):
    return jax.jit(inversion.batch_gradient(defenses.bottleneck_loss(mlp[0])))


@pytest.fixture(scope="module")
def averaged(gradient_fn):
    return jax.jit(defenses.noise_averaged(gradient_fn, DRAWS, 3))


def batch(size=4, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (size, 6))
    y = jax.random.randint(keys[1], (size,), 0, 3)
    return x, y, jax.random.split(keys[2], size)


class TestModel:
    def test_evaluation_is_the_textbook_function(self, mlp):
        model, params = mlp
        weights = jax.tree.map(lambda a: np.asarray(a, np.float64), params)["layers"]
        x, _, _ = batch()

        def apply(layer, x):
            return x @ layer["kernel"] + layer["bias"]

        expected = np.asarray(x, np.float64)
        for i in (0, 1):
            expected = np.maximum(apply(weights[i], expected), 0)
        bottleneck = weights[2]["bottleneck"]
        expected = apply(bottleneck["encoder"], expected)[:, :7]
        expected = apply(weights[2]["layer"], apply(bottleneck["decoder"], expected))
        np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-5, atol=1e-5)

    def test_a_sample_is_a_function_of_its_key(self, mlp):
        model, params = mlp
        x = batch()[0][0]
        keys = jax.random.split(jax.random.key(3), 2)
        (first, first_bits), (other, other_bits) = (model.sample(params, x, k) for k in keys)
        np.testing.assert_array_equal(model.sample(params, x, keys[0])[0], first)
        assert not np.allclose(first, other)
        assert first_bits == other_bits > 0

    def test_all_after_the_code_is_linear_so_its_mean_is_the_evaluation(self, mlp):
        model, params = mlp
        x = batch()[0][0]
        keys = jax.random.split(jax.random.key(4), 20_000)
        logits = jax.vmap(lambda k: model.sample(params, x, k)[0])(keys)
        error = np.std(logits, axis=0) / np.sqrt(len(keys))
        bound = stats.norm.isf(5e-7 / 3) * error  # left once in a million runs
        assert np.all(np.abs(np.mean(logits, axis=0) - model.apply(params, x)) < bound)


class TestStochasticLeaves:
    CASES = (
        (make_mlp, (6,), "layers/2", defenses.linear(2), own("layers/2")),
        (
            make_mlp,
            (6,),
            "layers/1",
            defenses.linear(2),
            own("layers/1") | layer("layers/2"),
        ),
        (LENET, IMAGE, "head", defenses.linear(2), own("head")),
        (make_resnet, IMAGE, "head", defenses.linear(2), own("head")),
        (
            LENET,
            IMAGE,
            "convolutions/1",
            defenses.convolutional(2),
            own("convolutions/1") | layer("convolutions/2") | layer("head"),
        ),
        # The norms come between the convolutions, which the order of the leaves does not show.
        (
            make_convnet,
            IMAGE,
            "convolutions/1",
            defenses.convolutional(2),
            own("convolutions/1") | layer("norms/1", "bias", "scale") | layer("head"),
        ),
    )

    @pytest.mark.parametrize(("make", "shape", "before", "bottleneck", "expected"), CASES)
    def test_its_own_and_all_later_ones(self, make, shape, before, bottleneck, expected):
        model = defenses.insert_bottleneck(models.from_module(make, shape), before, bottleneck)
        assert set(model.stochastic) == expected
        params = jax.eval_shape(model.init, jax.random.key(0))
        leaves = jax.tree.leaves_with_path(params)
        paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
        weights = inversion.without(*model.stochastic)(paths)
        assert {path for path, weight in zip(paths, weights) if not weight} == expected

    def test_the_adaptive_attack_undoes_precode_on_a_fully_connected_layer(self, mlp):
        model, params = mlp
        example = jax.tree.map(lambda a: a[1], batch())
        observed = jax.jit(jax.grad(defenses.bottleneck_loss(model)))(params, example)
        first = observed["layers"][0]
        assert not set(model.stochastic) & layer("layers/0")
        np.testing.assert_allclose(
            inversion.first_layer_input(first["kernel"], first["bias"]), example[0], rtol=1e-3
        )


class TestLoss:
    def test_is_cross_entropy_and_weighted_divergence(self, mlp):
        model, params = mlp
        x, y, key = jax.tree.map(lambda a: a[0], batch())
        logits, bits = model.sample(params, x, key)
        log_probabilities = np.asarray(logits, np.float64)
        log_probabilities -= np.log(np.exp(log_probabilities).sum())
        expected = -log_probabilities[int(y)] + 0.1 * float(bits)
        loss_fn = defenses.bottleneck_loss(model, 0.1)
        np.testing.assert_allclose(loss_fn(params, (x, y, key)), expected, rtol=1e-5)
        soft = jnp.array([0.2, 0.5, 0.3])
        np.testing.assert_allclose(
            loss_fn(params, (x, soft, key)),
            -np.asarray(soft) @ log_probabilities + 0.1 * float(bits),
            rtol=1e-5,
        )

    def test_per_example_gradients(self, mlp):
        model, params = mlp
        loss_fn = defenses.bottleneck_loss(model)
        gradient_fn = jax.jit(jax.grad(loss_fn))
        x, y, keys = batch()
        same = jnp.array([0, 0, 1, 2])  # the first two differ in their noise alone
        examples = (x[same], y[same], keys)
        grads = gujax.materialize(gujax.per_example_grads(loss_fn)(params, examples))
        for i in range(4):
            expected = gradient_fn(params, jax.tree.map(lambda a, i=i: a[i], examples))
            jax.tree.map(
                lambda g, e, i=i: np.testing.assert_allclose(g[i], e, rtol=1e-4, atol=1e-6),
                grads,
                expected,
            )
        head = grads["layers"][2]["layer"]["kernel"]
        assert not np.allclose(head[0], head[1])

    def test_training_learns_what_evaluation_sees(self, mlp):
        model, params = mlp
        loss_fn = defenses.bottleneck_loss(model)
        x = jax.random.normal(jax.random.key(5), (64, 6))
        y = jnp.argmax(x[:, :3], axis=1)
        optimizer = optax.adam(0.03)

        @jax.jit
        def step(carry, key):
            params, state = carry
            keys = jax.random.split(key, 64)
            gradient = inversion.batch_gradient(loss_fn)(params, (x, y, keys))
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(jax.random.key(6), 150)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        accuracy = np.mean(np.argmax(model.apply(params, x), axis=1) == y)
        assert accuracy > 0.9


class TestNoiseAveraged:
    def test_is_the_mean_gradient_over_draws(self, mlp, gradient_fn, averaged):
        _, params = mlp
        x, y, _ = batch(2)
        draws = [gradient_fn(params, (x, y, k)) for k in jax.random.split(DRAWS, (3, 2))]
        expected = jax.tree.map(lambda *g: np.mean(g, axis=0), *draws)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
            averaged(params, (x, y)),
            expected,
        )

    def test_the_adaptive_attack_matches_what_is_not_stochastic(self, mlp, gradient_fn, averaged):
        model, params = mlp
        x, y, keys = batch(2)
        observed = gradient_fn(params, (x, y, keys))
        attack = inversion.inverting_gradients(
            1,
            limits=None,
            total_variation_weight=0,
            leaf_weights=inversion.without(*model.stochastic),
        )
        found = inversion.invert(
            attack,
            averaged,
            params,
            observed,
            jax.random.key(10),
            inputs_like=x,
            labels=y,
        )
        a, b = (
            np.concatenate(
                [np.ravel(leaf) for i in (0, 1) for leaf in jax.tree.leaves(g["layers"][i])]
            ).astype(np.float64)
            for g in (averaged(params, (found.inputs, y)), observed)
        )
        distance = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        np.testing.assert_allclose(found.matching_loss, distance, rtol=1e-4)
        assert distance > 1e-3


@pytest.mark.parametrize(
    ("make", "shape", "before"),
    [(make_mlp, (6,), "layers/2"), (make_mlp, (6,), "layers/1"), (LENET, IMAGE, "head")],
)
def test_the_encoders_bias_tells_what_the_noise_did(make, shape, before):
    """The victim's gradient up to the encoder follows from its input and the update."""
    model = defenses.insert_bottleneck(models.from_module(make, shape), before)
    params, x = model.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), shape)
    loss_fn, encoder_loss = defenses.bottleneck_loss(model), defenses.encoder_loss(model)
    assert encoder_loss is defenses.encoder_loss(model)  # compiled once
    for key in jax.random.split(jax.random.key(2)):
        victims = dict(named_leaves(jax.grad(loss_fn)(params, (x, 1, key))))
        error = victims[f"{model.encoder}/bias"]
        found = dict(named_leaves(jax.grad(encoder_loss)(params, (x, error))))
        assert found.keys() == victims.keys()
        reached = {path for path, leaf in found.items() if np.any(leaf)}
        assert reached == {f"{model.encoder}/bias", f"{model.encoder}/kernel"} | (
            set(victims) - set(model.stochastic)
        )
        for path in reached:
            scale = np.max(np.abs(victims[path]))
            np.testing.assert_allclose(found[path], victims[path], atol=1e-5 * scale, err_msg=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((make_mlp, (6,)), "before='head' is no layer.*layers/0, layers/1, layers/2"),
        ((make_mlp, (6,), "layers"), "before='layers' is no layer"),
        ((LENET, IMAGE, "convolutions/1"), r"linear\(\) is for vectors.*\(4, 4, 12\)"),
        ((LENET, IMAGE, "head", defenses.convolutional()), r"convolutional\(\) is for.*\(48,\)"),
    ],
)
def test_a_place_that_does_not_fit(arguments, message):
    make, shape, *rest = arguments
    with pytest.raises(ValueError, match=message):
        defenses.insert_bottleneck(models.from_module(make, shape), *rest)


def test_a_model_without_a_module():
    model = models.Model(init=lambda key: (), apply=lambda params, x: x)
    with pytest.raises(ValueError, match="model has no module"):
        defenses.insert_bottleneck(model)


def test_a_layer_that_is_called_twice():
    class Twice(MLP):
        def __call__(self, x):
            return super().__call__(super().__call__(x))

    with pytest.raises(ValueError, match="before='layers/0' is a layer that is called 2 times"):
        defenses.insert_bottleneck(
            models.from_module(lambda rngs: Twice((6, 6), rngs=rngs), (6,)), "layers/0"
        )


def test_numbers_out_of_range(mlp):
    with pytest.raises(ValueError, match="beta must be at least 0"):
        defenses.bottleneck_loss(mlp[0], -1.0)
    with pytest.raises(ValueError, match="num_samples=0"):
        defenses.noise_averaged(lambda params, examples: params, jax.random.key(0), 0)
