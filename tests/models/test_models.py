import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax import gradients, models

SHAPES = {"mlp": (5, 7), "convnet": (8, 12, 2), "resnet": (6, 4, 2), "vgg": (4, 6, 2)}
OPTIONS = {"resnet": {"channels": (8,)}, "vgg": {"channels": (8,), "hidden": 16}}


def build(name):
    return getattr(models, name)(SHAPES[name], 4, **OPTIONS.get(name, {}))


def sizes(params):
    return sorted(leaf.size for leaf in jax.tree.leaves(params))


class TestMLP:
    def test_is_the_textbook_function(self):
        model = models.mlp((3, 2), 4, hidden=(5, 6))
        params = jax.jit(model.init)(jax.random.key(0))
        x = np.random.default_rng(0).normal(size=(9, 3, 2))
        expected = x.reshape(9, 6)
        for i in range(3):
            layer = jax.tree.map(lambda a: np.asarray(a, np.float64), params["layers"][i])
            expected = expected @ layer["kernel"] + layer["bias"]
            expected = np.maximum(expected, 0) if i < 2 else expected
        np.testing.assert_allclose(
            model.apply(params, jnp.asarray(x, jnp.float32)), expected, rtol=1e-5, atol=1e-5
        )

    def test_without_hidden_layers_it_is_linear(self):
        assert sizes(models.mlp((6,), 4, hidden=()).init(jax.random.key(0))) == [4, 24]

    def test_number_of_parameters(self):
        params = models.mlp((64,), 10).init(jax.random.key(0))
        assert sizes(params) == sorted([64 * 128, 128, 128 * 10, 10])


class TestConvNet:
    def test_number_of_parameters(self):
        params = models.convnet((28, 28, 1), 10).init(jax.random.key(0))
        convolutions = [9 * 1 * 16, 16, 9 * 16 * 32, 32]
        norms = [16, 16, 32, 32]
        assert sizes(params) == sorted([*convolutions, *norms, 7 * 7 * 32 * 10, 10])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((64,), 10), r"input_shape=\(64,\).*use models.mlp"),
            (((3, 8, 1), 10), "too small for 2 halvings"),
            (((8, 8, 1), 10, (12,)), "must be multiples of 8"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            models.convnet(*arguments)


class TestResNet:
    def test_number_of_parameters(self):
        def norm(c):
            return [c, c]

        def block(c_in, c_out):
            shortcut = [c_in * c_out] if c_in != c_out else []
            return [9 * c_in * c_out, *norm(c_out), 9 * c_out * c_out, *norm(c_out), *shortcut]

        params = jax.eval_shape(models.resnet((32, 32, 3), 10, blocks=2).init, jax.random.key(0))
        stem = [27 * 16, *norm(16)]
        stages = [*block(16, 16) * 2, *block(16, 32), *block(32, 32), *block(32, 64)]
        assert sizes(params) == sorted([*stem, *stages, *block(64, 64), 640, 10])

    def test_blocks_that_add_nothing_are_their_shortcuts(self):
        model = models.resnet((4, 6, 2), 3, channels=(8, 16))
        params = jax.jit(model.init)(jax.random.key(0))
        for index in (0, 1):
            silent = jax.tree.map(jnp.zeros_like, params["blocks"][index]["second_norm"])
            params["blocks"][index]["second_norm"] = silent
        x = np.asarray(jax.random.normal(jax.random.key(1), (4, 6, 2)))
        # What is left: convolution, group norm over all 8 channels, ReLU, the second block's
        # 1 × 1 convolution of every other position, ReLU, mean, linear layer.
        window, kernel = np.pad(x, ((1, 1), (1, 1), (0, 0))), params["stem"]["kernel"]
        y = sum(window[i : i + 4, j : j + 6] @ kernel[i, j] for i in range(3) for j in range(3))
        y = np.maximum((y - y.mean()) / np.sqrt(y.var() + 1e-6), 0)
        y = np.maximum(y[::2, ::2] @ params["blocks"][1]["shortcut"]["kernel"][0, 0], 0)
        expected = y.mean(axis=(0, 1)) @ params["head"]["kernel"] + params["head"]["bias"]
        np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((64,), 10), r"input_shape=\(64,\).*use models.mlp"),
            (((8, 8, 1), 10, (12,)), "one or more multiples of 8"),
            (((8, 8, 1), 10, ()), "one or more multiples of 8"),
            (((8, 8, 1), 10, (8,), 0), "blocks=0 must be at least 1"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            models.resnet(*arguments)


@pytest.mark.parametrize("name", ["convnet", "resnet"])
def test_an_example_does_not_depend_on_the_rest_of_the_batch(name):
    model = build(name)
    params = jax.jit(model.init)(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 6, *SHAPES[name]))
    changed = x[0].at[1:].set(x[1, 1:])
    apply = jax.jit(model.apply)
    before, after = apply(params, x[0]), apply(params, changed)
    # Other examples of the batch may change the order of sums, not the result.
    np.testing.assert_allclose(before[0], after[0], rtol=1e-5, atol=1e-6)


# The VGG is made of what the convnet is made of.
@pytest.mark.parametrize(
    "name", ["mlp", "convnet", "resnet", pytest.param("vgg", marks=pytest.mark.long)]
)
class TestModel:
    def test_leading_axes_are_kept(self, name):
        model = build(name)
        params = jax.jit(model.init)(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (2, 3, *SHAPES[name]))
        logits = model.apply(params, x)
        assert logits.shape == (2, 3, 4)
        one = model.apply(params, x[1, 2])
        assert one.shape == (4,)
        np.testing.assert_allclose(one, logits[1, 2], rtol=1e-5, atol=1e-6)

    def test_wrong_input_shape_is_explained(self, name):
        model = build(name)
        params = jax.jit(model.init)(jax.random.key(0))
        with pytest.raises(ValueError, match="build the model with the data set's feature_shape"):
            model.apply(params, jnp.zeros((3, 9, 9)))

    def test_init_is_a_function_of_the_key_alone(self, name):
        model = build(name)
        keys = jax.random.split(jax.random.key(0), 3)
        many = jax.jit(jax.vmap(model.init))(keys)
        init = jax.jit(model.init)
        for i, key in enumerate(keys):
            one = init(key)
            jax.tree.map(
                lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6),
                many,
                one,
            )
        # Biases and scales start the same for every key, weights do not.
        assert any(not np.allclose(leaf[0], leaf[1]) for leaf in jax.tree.leaves(many))

    def test_trains(self, name):
        model = build(name)
        x = jax.random.normal(jax.random.key(1), (16, *SHAPES[name]))
        y = jnp.arange(16) % 4

        def loss(params):
            logits = model.apply(params, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        params = jax.jit(model.init)(jax.random.key(0))
        start = loss(params)
        gradient = jax.jit(jax.grad(loss))
        for _ in range(30):
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params))
        assert loss(params) < 0.5 * start

    def test_per_example_gradients_agree_with_autodiff(self, name):
        model = build(name)
        params = jax.jit(model.init)(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (5, *SHAPES[name]))
        y = jnp.arange(5) % 4

        def loss(params, example):
            logits = model.apply(params, example[0])
            return optax.softmax_cross_entropy_with_integer_labels(logits, example[1])

        grads = gradients.materialize(gradients.per_example_grads(loss)(params, (x, y)))
        gradient = jax.jit(jax.grad(loss))
        for i in range(5):
            expected = gradient(params, (x[i], y[i]))
            jax.tree.map(
                # Two float32 computations of the same sums in different order.
                lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5),
                grads,
                expected,
            )


class TestVGG:
    def test_number_of_parameters(self):
        params = models.vgg((8, 12, 3), 10, (16, 32), 20).init(jax.random.key(0))
        convolutions = [9 * 3 * 16, 9 * 16 * 16, 9 * 16 * 32, 9 * 32 * 32]
        biases = [16, 16, 32, 32, 20, 10]
        assert sizes(params) == sorted([*convolutions, *biases, 2 * 3 * 32 * 20, 20 * 10])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((64,), 10), r"input_shape=\(64,\).*use models.mlp"),
            (((3, 8, 1), 10), "as many halvings"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            models.vgg(*arguments)
