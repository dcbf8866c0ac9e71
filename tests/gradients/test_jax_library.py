"""JAX's own functions on the way to a loss: as exact as `vmap(grad)`, and factored where used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from tests.gradients.checks import assert_trees_near, compiled, dense, rows

RNG = np.random.default_rng(0)
PARAMS, BATCH = RNG.normal(size=(6, 6)) / 2, RNG.normal(size=(3, 4, 6)) / 2


def covariance(h):
    return h @ h.T + jnp.eye(4)


def attended(h, **options):
    heads = h.reshape(4, 2, 3)
    return jax.nn.dot_product_attention(heads, heads + 1, heads, **options)


FUNCTIONS = {
    "attention": lambda h: attended(h),
    "causal attention": lambda h: attended(h, is_causal=True),
    "local attention": lambda h: attended(h, local_window_size=1),
    "activations": lambda h: jax.nn.mish(h) + jax.nn.celu(h) + jax.nn.squareplus(h),
    "normalizations": lambda h: jax.nn.standardize(h) + jax.nn.softmax(h) + jax.nn.logsumexp(h),
    "gated": lambda h: jax.nn.glu(h) * jax.nn.log_sigmoid(h[:, :3]),
    "det": lambda h: jnp.log(jnp.linalg.det(covariance(h))),
    "inv": lambda h: jnp.linalg.inv(covariance(h)),
    "cholesky": lambda h: jnp.linalg.cholesky(covariance(h)),
    "eigh": lambda h: jnp.linalg.eigh(covariance(h))[0],
    "svd": lambda h: jnp.linalg.svd(h, full_matrices=False)[1],
    "qr": lambda h: jnp.linalg.qr(h.T)[1],
    "solve": lambda h: jnp.linalg.solve(covariance(h), h),
    "lstsq": lambda h: jnp.linalg.lstsq(h.T, jnp.ones(6))[0],
    "triangular": lambda h: jax.scipy.linalg.solve_triangular(covariance(h), h),
    "expm": lambda h: jax.scipy.linalg.expm(covariance(h) / 9),
    "fft": lambda h: jnp.abs(jnp.fft.fft(h) + 1),
    "rfft2": lambda h: jnp.abs(jnp.fft.rfft2(h) + 1),
    "associative scan": lambda h: jax.lax.associative_scan(lambda a, b: a * b + a, h),
    "cumulative": lambda h: jnp.cumprod(h, 0) + jax.lax.cumlogsumexp(h),
    "sorted": lambda h: jnp.sort(h)[:, ::2] * jax.lax.top_k(h, 3)[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_an_activation(name):
    def loss(p, x):
        return jnp.sum(jnp.tanh(FUNCTIONS[name](x @ p)))

    check(loss)
    assert not gradients.explain(loss, PARAMS, BATCH[0]).fallbacks


ON_PARAMETERS = {
    "convolution by fft": lambda p, x: jnp.fft.irfft(jnp.fft.rfft(p) * jnp.fft.rfft(x[0])),
    "solve": lambda p, x: jnp.linalg.solve(p, x.T),
    "triangular": lambda p, x: jax.scipy.linalg.solve_triangular(p, x.T, lower=True),
    "associative scan": lambda p, x: jax.lax.associative_scan(jnp.multiply, p) @ x.T,
    "spectral norm": lambda p, x: x @ (p / jnp.linalg.norm(p, 2)),
}


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_on_a_parameter(name):
    check(lambda p, x: jnp.sum(jnp.tanh(ON_PARAMETERS[name](p, x))))


def check(loss):
    def program(params, batch):
        grads = gradients.per_example_grads(loss)(params, batch)
        return gradients.materialize(grads), gradients.gram(grads)

    _, expected = dense(loss, PARAMS, BATCH)
    found, K = compiled(program, PARAMS, BATCH)
    assert_trees_near(found, expected, 1e-8, "materialize")
    G = rows(expected)
    np.testing.assert_allclose(K, G @ G.T, rtol=0, atol=1e-8 * np.max(np.sum(G**2, 1)))
