"""Per-example gradients inside of JAX's own transformations: jit, vmap, scan, grad."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from tests.gradients.checks import as_arrays, assert_trees_near, compiled
from tests.gradients.zoo import CASES

LOSSES = [
    "mlp",
    "sequence_mlp_few_positions",
    "tied_language_model",
    "convolutional_classifier",
    "stacked_layers_remat",
    "sorted_weights",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in (
            "sequence_mlp_many_positions",
            "scale_and_shift",
            "recurrent_scan",
            "cond_on_the_data",
        )
    ),
]


def _float_leaves(batch):
    """The leaves of a batch that may be differentiated, and how to put others in their place."""
    leaves, structure = jax.tree.flatten(batch)
    places = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def rebuild(chosen):
        return structure.unflatten(
            [chosen[places.index(i)] if i in places else leaf for i, leaf in enumerate(leaves)]
        )

    return [leaves[i] for i in places], rebuild


def _score(loss, method, params, batch):
    """A scalar that depends on every answer about the gradients in a nonlinear way."""
    grads = gradients.per_example_grads(loss, method=method)(params, batch)
    norms, K = gradients.squared_norms(grads), gradients.gram(grads)
    leaves = jax.tree.leaves(gradients.weighted_sum(grads, 1 / (1 + norms)))
    leaves += jax.tree.leaves(gradients.materialize(grads))
    return (
        jnp.sum(jnp.sqrt(1e-3 + norms))
        + jnp.sum(jnp.sin(jnp.arange(K.size).reshape(K.shape)) * K)
        + sum(jnp.sum(jnp.cos(leaf) * leaf) for leaf in leaves)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_of_the_answers(name):
    """Gradient inversion differentiates through per-example gradients."""
    loss, params, batch, _ = CASES[name]()
    inputs, rebuild = _float_leaves(as_arrays(batch))

    def derivative(method):
        def score(params, inputs):
            return _score(loss, method, params, rebuild(inputs))

        return compiled(jax.grad(score, argnums=(0, 1)), as_arrays(params), inputs)

    assert_trees_near(derivative("factored"), derivative("dense"), 1e-9, "derivative")


@pytest.mark.parametrize("name", LOSSES)
def test_many_models_at_once(name):
    """vmap over parameters and batches; over parameters alone; over batches alone."""
    first, second = CASES[name](), CASES[name](1)
    loss = first.loss
    stack = lambda a, b: jax.tree.map(lambda x, y: jnp.stack([x, y]), a, b)  # noqa: E731
    params, batches = stack(first.params, second.params), stack(first.batch, second.batch)

    def answers(method, params, batch):
        values, grads = gradients.value_and_per_example_grads(loss, method=method)(params, batch)
        norms = gradients.squared_norms(grads)
        return (
            values,
            gradients.gram(grads),
            norms,
            gradients.weighted_sum(grads, norms),
            gradients.materialize(grads),
        )

    def over_everything(method, params, batches):
        one = partial(answers, method)
        return (
            jax.vmap(one)(params, batches),
            jax.vmap(one, in_axes=(0, None))(params, jax.tree.map(lambda x: x[0], batches)),
            jax.vmap(one, in_axes=(None, 0))(jax.tree.map(lambda x: x[0], params), batches),
        )

    found = compiled(partial(over_everything, "factored"), params, batches)
    expected = compiled(partial(over_everything, "dense"), params, batches)
    assert_trees_near(found, expected, 1e-10, "vmap")


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_carried_by_a_scan(name):
    """The gradients of the last step, opaque as they are, wait in the carry for the next one."""
    loss, params, batch, _ = CASES[name]()

    def run(method, params, batch):
        grads_fn = gradients.per_example_grads(loss, method=method)

        def step(carry, _):
            params, last = carry
            grads = grads_fn(params, batch)
            update = gradients.weighted_sum(grads, 0.1 / (1 + gradients.squared_norms(grads)))
            params = jax.tree.map(lambda w, g: w - g, params, update)
            return (params, grads), gradients.gram(grads, last)

        (params, last), grams = jax.lax.scan(step, (params, grads_fn(params, batch)), length=3)
        return params, gradients.materialize(last), grams

    found = compiled(partial(run, "factored"), as_arrays(params), as_arrays(batch))
    expected = compiled(partial(run, "dense"), as_arrays(params), as_arrays(batch))
    assert_trees_near(found, expected, 1e-9, "scan")


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_cross_the_border_of_jit(name):
    """Computed in one program, used in another; eval_shape predicts their structure."""
    loss, params, batch, _ = CASES[name]()
    params, batch = as_arrays(params), as_arrays(batch)
    grads_fn = gradients.per_example_grads(loss)
    grads = compiled(grads_fn, params, batch)
    shapes = jax.eval_shape(grads_fn, params, batch)
    assert jax.tree.structure(shapes) == jax.tree.structure(grads)
    inside = compiled(lambda p, b: gradients.gram(grads_fn(p, b)), params, batch)
    np.testing.assert_allclose(compiled(gradients.gram, grads), inside, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_every_array_of_the_gradients_is_led_by_the_example_axis(name):
    """So a slice of every array is the gradients of a slice of the batch."""
    loss, params, batch, _ = CASES[name]()

    def whole_and_part(params, batch):
        grads = gradients.per_example_grads(loss)(params, batch)
        part = jax.tree.map(lambda x: x[1:3], grads)
        assert gradients.num_examples(part) == 2
        K, dense = gradients.gram(grads), gradients.materialize(grads)
        whole = K[1:3, 1:3], K[:, 1:3], jax.tree.map(lambda g: g[1:3], dense)
        return whole, (
            gradients.gram(part),
            gradients.gram(grads, part),
            gradients.materialize(part),
        )

    whole, part = compiled(whole_and_part, as_arrays(params), as_arrays(batch))
    assert_trees_near(part, whole, 1e-12, "slice")


def test_loss_that_closes_over_traced_values():
    """What the loss closes over may itself be traced, mapped or differentiated."""
    params, batch = jnp.ones((3, 2)), jnp.arange(12.0).reshape(4, 3) / 10

    def norms(method, frozen, temperature):
        def loss(p, x):
            return jnp.sum(jnp.tanh(x @ p @ frozen) ** 2) / temperature

        return gradients.squared_norms(
            gradients.per_example_grads(loss, method=method)(params, batch)
        )

    def everything(method, frozen, temperatures):
        return (
            jax.jit(partial(norms, method))(frozen, 2.0),
            jax.vmap(partial(norms, method), in_axes=(None, 0))(frozen, temperatures),
            jax.jacobian(partial(norms, method), argnums=(0, 1))(frozen, 2.0),
            jax.lax.map(partial(norms, method, frozen), temperatures),
        )

    arguments = jnp.eye(2) + 0.1, jnp.array([1.0, 2.0])
    found = compiled(partial(everything, "factored"), *arguments)
    expected = compiled(partial(everything, "dense"), *arguments)
    assert_trees_near(found, expected, 1e-12, "closure")


def test_gradients_of_gradients():
    """The loss may itself use per-example gradients (a penalty on their norms)."""
    loss, params, batch, _ = CASES["mlp"]()

    def penalised(method, params, batch):
        def outer(p, example):
            inner = gradients.per_example_grads(loss, method=method)
            batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), example)
            grads = inner(p, batch)
            return loss(p, example) + jnp.sum(gradients.squared_norms(grads))

        return gradients.gram(gradients.per_example_grads(outer, method=method)(params, batch))

    arguments = as_arrays(params), as_arrays(batch)
    found = compiled(partial(penalised, "factored"), *arguments)
    assert_trees_near(found, compiled(partial(penalised, "dense"), *arguments), 1e-11, "gram")


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_a_batch_by_weights(name):
    """What an optimizer is given equals the gradient of the mean loss."""
    loss, params, batch, _ = CASES[name]()
    params, batch = as_arrays(params), as_arrays(batch)
    size = jax.tree.leaves(batch)[0].shape[0]

    def both(params, batch):
        mean = jax.grad(lambda p: jnp.mean(jax.vmap(loss, in_axes=(None, 0))(p, batch)))(params)
        grads = gradients.per_example_grads(loss)(params, batch)
        return gradients.weighted_sum(grads, jnp.full(size, 1 / size)), mean

    assert_trees_near(*compiled(both, params, batch), 1e-12, "mean")


def test_differentiation_by_forward_mode():
    loss, params, batch, _ = CASES["sequence_mlp_few_positions"]()

    def derivative(method, batch):
        def norms(x):
            return gradients.squared_norms(
                gradients.per_example_grads(loss, method=method)(params, x)
            )

        return jax.jvp(norms, (batch,), (jnp.ones(batch.shape),))

    found = compiled(partial(derivative, "factored"), as_arrays(batch))
    expected = compiled(partial(derivative, "dense"), as_arrays(batch))
    assert_trees_near(found, expected, 1e-11, "jvp")
