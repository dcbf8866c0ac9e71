import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax import gradients, models

SHAPES = {"mlp": (5, 7), "convnet": (8, 12, 2)}


def build(name):
    return getattr(models, name)(SHAPES[name], 4)


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

    def test_an_example_does_not_depend_on_the_rest_of_the_batch(self):
        model = build("convnet")
        params = jax.jit(model.init)(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (2, 6, 8, 12, 2))
        changed = x[0].at[1:].set(x[1, 1:])
        apply = jax.jit(model.apply)
        before, after = apply(params, x[0]), apply(params, changed)
        # Other examples of the batch may change the order of sums, not the result.
        np.testing.assert_allclose(before[0], after[0], rtol=1e-5, atol=1e-6)

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


@pytest.mark.parametrize("name", SHAPES)
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
        first = jax.tree.leaves(many)[1]
        assert not np.allclose(first[0], first[1])

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
