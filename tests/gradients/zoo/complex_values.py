"""Complex intermediate values on the way from real parameters to a real loss."""

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


@case
def fourier_transform_of_the_input(draw):
    def loss(p, x):
        return squared(jnp.abs(jnp.fft.fft(x)) @ p)

    return Case(loss, draw(6, 4), draw(BATCH, 6))


@case
def fourier_mixing(draw):
    """FNet: the real part of a transform between two layers."""

    def loss(p, x):
        return squared(jnp.fft.fft2(x @ p["w"]).real @ p["v"])

    return Case(loss, {"w": draw(5, 4), "v": draw(4, 2)}, draw(BATCH, 3, 5))


@case
def complex_product(draw):
    """A complex matrix of two real parameters, multiplied with complex data."""

    def loss(p, x):
        y = jnp.fft.fft(x) @ (p["real"] + 1j * p["imag"])
        return jnp.sum(jnp.abs(y) ** 2) + jnp.sum(y.real * y.imag)

    return Case(loss, {"real": draw(6, 4), "imag": draw(6, 4)}, draw(BATCH, 3, 6))


@case
def real_weights_on_complex_data(draw):
    def loss(p, x):
        y = jnp.fft.fft(x) @ p.astype(jnp.complex128)
        return jnp.sum(jnp.abs(y) ** 2)

    return Case(loss, draw(6, 4), draw(BATCH, 3, 6))


@case
def spectral_convolution(draw):
    """A Fourier neural operator: weights per frequency between rfft and irfft."""

    def loss(p, x):
        modes = jnp.fft.rfft(x, axis=0)[:3]
        weights = jax.lax.complex(p["real"], p["imag"])
        mixed = jnp.einsum("kc,kcd->kd", modes, weights)
        return squared(jnp.fft.irfft(mixed, n=6, axis=0) + x @ p["skip"])

    params = {"real": draw(3, 4, 5), "imag": draw(3, 4, 5), "skip": draw(4, 5)}
    return Case(loss, params, draw(BATCH, 6, 4))


@case
def rotary_embedding(draw):
    def loss(p, x):
        q, k = x @ p["q"], x @ p["k"]
        phases = jnp.exp(1j * jnp.outer(jnp.arange(3), jnp.arange(2)))

        def rotate(h):
            return jax.lax.complex(h[:, ::2], h[:, 1::2]) * phases

        return jnp.sum(jnp.tanh((rotate(q) @ rotate(k).conj().T).real))

    return Case(loss, {"q": draw(5, 4), "k": draw(5, 4)}, draw(BATCH, 3, 5))
