import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.leakage import input_sensitivity


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def loss_fn(params, example):
    """A small convolutional network with a soft label."""
    x, y = example
    h = jax.lax.conv_general_dilated(x[None, None], params["conv"]["w"], (2, 2), "SAME")[0]
    h = jnp.tanh(h + params["conv"]["b"][:, None, None]).ravel()
    h = jax.nn.softplus(params["dense"]["w"] @ h)
    return -y @ jax.nn.log_softmax(params["head"]["w"] @ h + params["head"]["b"])


def problem(num_examples=3):
    rng = np.random.default_rng(0)
    shapes = {
        "conv": {"w": (2, 1, 3, 3), "b": (2,)},
        "dense": {"w": (5, 18)},
        "head": {"w": (3, 5), "b": (3,)},
    }
    params = jax.tree.map(
        lambda shape: rng.normal(size=shape), shapes, is_leaf=lambda s: isinstance(s, tuple)
    )
    batch = (rng.normal(size=(num_examples, 6, 6)), rng.dirichlet(np.ones(3), num_examples))
    return params, batch


def dense_truth(params, batch):
    """Norm and relative norm of every layer from the whole Jacobian, built by another mode."""

    def one(x, y):
        def gradient(x):
            return jax.grad(loss_fn)(params, (x, y))

        return gradient(x), jax.jacrev(gradient)(x)

    truth = {}
    gradients, jacobians = jax.jit(jax.vmap(one))(*batch)
    for layer in params:
        norm, size = (
            np.sqrt(sum(np.square(leaf).reshape(len(leaf), -1).sum(1) for leaf in leaves))
            for leaves in (jax.tree.leaves(jacobians[layer]), jax.tree.leaves(gradients[layer]))
        )
        truth[layer] = norm, norm * np.linalg.norm(batch[0], axis=(1, 2)) / size
    return truth


def test_exact_agrees_with_the_dense_jacobian():
    params, batch = problem()
    result = input_sensitivity(loss_fn, params, batch, is_input=(True, False))
    assert list(result) == ["conv", "dense", "head"]
    truth = dense_truth(params, batch)
    for layer, sensitivity in result.items():
        norm, relative = truth[layer]
        np.testing.assert_allclose(sensitivity.norm, norm, rtol=1e-10)
        np.testing.assert_allclose(sensitivity.relative, relative, rtol=1e-10)
        assert not sensitivity.norm_error.any()
        assert not sensitivity.relative_error.any()


def test_closed_form_of_linear_regression():
    # g = (w·x − y) x, so ∂g/∂x = x wᵀ + (w·x − y) I.
    rng = np.random.default_rng(1)
    w, x, y = rng.normal(size=4), rng.normal(size=(5, 4)), rng.integers(-3, 3, 5)

    def squared_error(params, example):
        return (params["w"] @ example[0] - example[1]) ** 2 / 2

    result = input_sensitivity(squared_error, {"w": w}, (x, y))
    residual = x @ w - y
    truth = [np.linalg.norm(np.outer(a, w) + r * np.eye(4)) for a, r in zip(x, residual)]
    np.testing.assert_allclose(result["w"].norm, truth, rtol=1e-12)
    np.testing.assert_allclose(result["w"].relative, truth / np.abs(residual), rtol=1e-12)


def test_the_estimate_is_off_by_as_much_as_it_says():
    params, (x, y) = problem(1)
    repeats = 60  # the same example, each time with probes of its own
    batch = (np.repeat(x, repeats, axis=0), np.repeat(y, repeats, axis=0))
    result = input_sensitivity(
        loss_fn, params, batch, is_input=(True, False), num_probes=24, key=jax.random.key(0)
    )
    truth = dense_truth(params, (x, y))
    for layer, sensitivity in result.items():
        norm, relative = truth[layer]
        z = (np.asarray(sensitivity.norm) - norm) / np.asarray(sensitivity.norm_error)
        assert np.abs(z.mean()) < 5 / np.sqrt(repeats) + 0.2  # a root is biased by O(1 / probes)
        assert 0.7 < z.std() < 1.5
        ratio = np.asarray(sensitivity.relative_error / sensitivity.norm_error)
        np.testing.assert_allclose(ratio, np.full(repeats, relative / norm), rtol=1e-10)


def test_as_many_probes_as_inputs_are_exact():
    params, batch = problem()
    result = input_sensitivity(loss_fn, params, batch, is_input=(True, False), num_probes=36)
    norm, _ = dense_truth(params, batch)["dense"]
    np.testing.assert_allclose(result["dense"].norm, norm, rtol=1e-10)


def test_bad_arguments():
    params, batch = problem()
    with pytest.raises(ValueError, match="matches no parameter"):
        input_sensitivity(loss_fn, params, batch, layers=["fc"])
    with pytest.raises(ValueError, match="key is needed"):
        input_sensitivity(loss_fn, params, batch, num_probes=4)
    with pytest.raises(ValueError, match="num_probes=1 must be at least 2"):
        input_sensitivity(loss_fn, params, batch, num_probes=1)
    with pytest.raises(ValueError, match="is_input leaves no floating-point part"):
        input_sensitivity(loss_fn, params, batch, is_input=False)
    with pytest.raises(ValueError, match="same leading axis of examples"):
        input_sensitivity(loss_fn, params, (batch[0], batch[1][:2]))
