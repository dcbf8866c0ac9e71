"""Wrong input is refused with a sentence that names the argument and the remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients

METHODS = ["factored", "dense"]
PARAMS = {"w": np.ones((3, 2)), "b": np.ones(2)}
X = np.ones((4, 3))


def loss(p, x):
    return jnp.sum((x @ p["w"] + p["b"]) ** 2)


def grads_of(loss=loss, params=PARAMS, batch=X, method="factored", **options):
    return gradients.per_example_grads(loss, method=method, **options)(params, batch)


def refused(*words):
    """A ValueError whose message has all the words, in any order and case."""
    return pytest.raises(ValueError, match=r"(?is)" + "".join(f"(?=.*{word})" for word in words))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("inside_jit", [False, True])
class TestTheCall:
    def call(self, inside_jit, *arguments, **options):
        function = lambda params, batch: gradients.gram(  # noqa: E731
            gradients.per_example_grads(*arguments, **options)(params, batch)
        )
        return jax.jit(function) if inside_jit else function

    def test_loss_that_returns_a_vector(self, method, inside_jit):
        with refused("loss_fn", "scalar", r"\(2,\)", "reduce|sum|mean"):
            self.call(inside_jit, lambda p, x: x @ p["w"], method=method)(PARAMS, X)

    def test_loss_that_returns_a_pair_without_has_aux(self, method, inside_jit):
        with refused("loss_fn", "scalar", "has_aux"):
            self.call(inside_jit, lambda p, x: (loss(p, x), x), method=method)(PARAMS, X)

    def test_loss_that_returns_one_value_with_has_aux(self, method, inside_jit):
        with refused("loss_fn", "has_aux", "aux"):
            self.call(inside_jit, loss, has_aux=True, method=method)(PARAMS, X)

    def test_loss_that_returns_an_integer(self, method, inside_jit):
        with refused("loss_fn", "int"):
            self.call(inside_jit, lambda p, x: jnp.argmax(x @ p["w"]), method=method)(PARAMS, X)

    def test_loss_that_returns_nothing(self, method, inside_jit):
        with refused("loss_fn", "scalar"):
            self.call(inside_jit, lambda p, x: None, method=method)(PARAMS, X)

    def test_leaves_of_different_lengths(self, method, inside_jit):
        batch = {"x": X, "y": np.ones(5)}
        with refused("batch", "x", "4", "y", "5", "leading axis|length"):
            self.call(inside_jit, lambda p, e: loss(p, e["x"]) * e["y"], method=method)(
                PARAMS, batch
            )

    def test_scalar_in_the_batch(self, method, inside_jit):
        batch = {"x": X, "temperature": np.float64(2.0)}
        with refused("batch", "temperature", "leading axis|shared"):
            self.call(inside_jit, lambda p, e: loss(p, e["x"]), method=method)(PARAMS, batch)

    def test_python_scalar_in_the_batch(self, method, inside_jit):
        with refused("batch", "leading axis|shared"):
            self.call(inside_jit, lambda p, e: loss(p, e[0]) * e[1], method=method)(
                PARAMS, (X, 2.0)
            )

    @pytest.mark.parametrize("kind", [np.int32, np.uint8, np.bool_])
    def test_integer_parameters(self, method, inside_jit, kind):
        params = {**PARAMS, "step": np.ones(3, kind)}
        with refused("params", "step", np.dtype(kind).name, "float"):
            self.call(inside_jit, loss, method=method)(params, X)

    def test_complex_parameters(self, method, inside_jit):
        params = {**PARAMS, "phase": np.ones(3, np.complex128)}
        with refused("params", "phase", "complex128", "real"):
            self.call(inside_jit, loss, method=method)(params, X)

    @pytest.mark.parametrize("params", [{}, None, {"w": None}])
    def test_no_parameters(self, method, inside_jit, params):
        with refused("params", "no|empty"):
            self.call(inside_jit, lambda p, x: jnp.sum(x), method=method)(params, X)

    @pytest.mark.parametrize("batch", [{}, None, ()])
    def test_no_batch(self, method, inside_jit, batch):
        with refused("batch", "no|empty"):
            self.call(inside_jit, lambda p, x: jnp.sum(p["w"]), method=method)(PARAMS, batch)

    def test_batch_of_no_examples(self, method, inside_jit):
        with refused("batch", "no|empty|0"):
            self.call(inside_jit, loss, method=method)(PARAMS, X[:0])


@pytest.mark.parametrize("method", METHODS)
def test_parameters_and_batch_that_do_not_match(method):
    """JAX's own sentence, with the shapes, survives; ours says where it was met."""
    with pytest.raises(TypeError, match=r"(?s)(?=.*3)(?=.*7)(?=.*params and batch belong)"):
        grads_of(batch=np.ones((4, 7)), method=method)


def test_single_example_passed_as_batch():
    """A vector is a batch of numbers, and the loss then meets a scalar."""
    with pytest.raises((ValueError, TypeError)):
        grads_of(batch=X[0])


@pytest.mark.parametrize("transform", ["per_example_grads", "value_and_per_example_grads"])
def test_unknown_method(transform):
    with refused("method", "fast", "factored", "dense"):
        getattr(gradients, transform)(loss, method="fast")


def test_loss_that_is_no_function():
    with pytest.raises((ValueError, TypeError), match=r"loss_fn|callable"):
        gradients.per_example_grads(3)(PARAMS, X)


@pytest.mark.parametrize("size", [0, -1])
def test_microbatch_size_that_is_not_positive(size):
    with refused("microbatch_size", str(size)):
        gradients.per_example_grads(loss, microbatch_size=size)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1), (1, 4), ()])
def test_weights_of_a_wrong_shape(method, shape):
    with refused(
        "weights", r"\(4,\)|4 examples", str(shape).replace("(", r"\(").replace(")", r"\)")
    ):
        gradients.weighted_sum(grads_of(method=method), jnp.ones(shape))


def test_ordinary_gradients_instead_of_per_example_ones():
    """jax.grad of the mean loss: leaves without a common leading axis."""
    ordinary = jax.grad(lambda p: jnp.mean(jax.vmap(loss, in_axes=(None, 0))(p, X)))(PARAMS)
    for function in (
        gradients.num_examples,
        gradients.gram,
        gradients.squared_norms,
        lambda grads: gradients.weighted_sum(grads, jnp.ones(4)),
    ):
        with refused("gradients", "per_example_grads", "leading ax|length|examples"):
            function(ordinary)


def test_a_scalar_gradient_instead_of_per_example_ones():
    with refused("gradients", "per_example_grads"):
        gradients.num_examples({"w": jnp.ones((4, 3)), "scale": jnp.ones(())})


@pytest.mark.parametrize("grads", [{}, None, ()])
def test_no_gradients(grads):
    with refused("gradients", "per_example_grads"):
        gradients.num_examples(grads)


@pytest.mark.parametrize(
    "methods", [("factored", "factored"), ("factored", "dense"), ("dense",) * 2]
)
class TestGramOfDifferentGradients:
    def test_of_two_structures(self, methods):
        other = grads_of(lambda p, x: jnp.sum(x @ p["w"]), {"w": PARAMS["w"]}, X, methods[1])
        with refused("other", "same loss|same param"):
            gradients.gram(grads_of(method=methods[0]), other)

    def test_of_two_shapes(self, methods):
        params = {"w": np.ones((5, 2)), "b": np.ones(2)}
        other = grads_of(loss, params, np.ones((4, 5)), methods[1])
        with refused("other", "shape", r"w"):
            gradients.gram(grads_of(method=methods[0]), other)
