"""Parameters used in ways that no factor describes, or that do not matter at all."""

import jax
import jax.numpy as jnp
import jax.scipy as jsp

from tests.gradients.zoo.case import BATCH, Case, case, squared


def _transformed(name, function):
    """x @ function(W), with a second, ordinary layer on top."""

    def build(draw):
        def loss(p, x):
            return squared(jnp.tanh(x @ function(p["w"])) @ p["v"])

        return Case(loss, {"w": draw(5, 5), "v": draw(5, 3)}, draw(BATCH, 2, 5))

    build.__name__ = name
    case(build)


def weight_standardised(w):
    return (w - w.mean(0)) / jnp.sqrt(w.var(0) + 1e-6)


def spectrally_normalised(w):
    left = jnp.ones(w.shape[0])
    for _ in range(2):
        right = w.T @ left
        right = right / jnp.linalg.norm(right)
        left = w @ right
        left = left / jnp.linalg.norm(left)
    return w / (left @ w @ right)


for _name, _function in {
    "sine_of_weights": jnp.sin,
    "cumulative_sum_of_weights": lambda w: jnp.cumsum(w, 0),
    "cumulative_product_of_weights": lambda w: jnp.cumprod(1 + 0.1 * w, 1),
    "sorted_weights": lambda w: jnp.sort(w, 0),
    "masked_weights": lambda w: w * jnp.tri(5),
    "chosen_weights": lambda w: jnp.where(jnp.tri(5) > 0, w, 2 * w),
    "positive_weights": jnp.exp,
    "clipped_weights": lambda w: jnp.clip(w, -0.3, 0.4),
    "thresholded_weights": lambda w: jnp.where(w > 0.1, w, 0.0),
    "cubed_weights": lambda w: w**3,
    "normalised_weights": lambda w: w / jnp.linalg.norm(w),
    "columns_of_unit_norm": lambda w: w / jnp.linalg.norm(w, axis=0),
    "weight_standardisation": weight_standardised,
    "spectral_normalisation": spectrally_normalised,
    "softmax_of_weights": jax.nn.softmax,
    "largest_weights": lambda w: jnp.repeat(jnp.max(w, 1)[:, None], 5, 1),
    "top_weights": lambda w: jnp.tile(jax.lax.top_k(w, 1)[0], (1, 5)),
    "inverse_of_weights": lambda w: jnp.linalg.inv(w + 3 * jnp.eye(5)),
    "exponential_of_weights": lambda w: jsp.linalg.expm(w - w.T),
    "orthogonal_weights": lambda w: jnp.linalg.qr(w + 2 * jnp.eye(5))[0],
    "cholesky_of_weights": lambda w: jnp.linalg.cholesky(w @ w.T + jnp.eye(5)),
    "cayley_weights": lambda w: jnp.linalg.solve(jnp.eye(5) + w - w.T, jnp.eye(5) - w + w.T),
    "reduced_window_of_weights": lambda w: jax.lax.reduce_window(
        w, 0.0, jax.lax.add, (2, 2), (1, 1), "SAME"
    ),
    "spectrum_of_weights": lambda w: jnp.fft.fft(w).real,
    "rounded_weights_with_gradient": lambda w: w + jax.lax.stop_gradient(jnp.round(w) - w),
}.items():
    _transformed(_name, _function)


@case
def regulariser_in_the_loss(draw):
    def loss(p, x):
        penalty = sum(jnp.sum(w**2) for w in jax.tree.leaves(p))
        return squared(jnp.tanh(x @ p["w"]) @ p["v"] + p["b"]) + 0.1 * penalty

    return Case(loss, {"w": draw(5, 6), "v": draw(6, 3), "b": draw(3)}, draw(BATCH, 2, 5))


@case
def regulariser_that_depends_on_the_example(draw):
    def loss(p, example):
        x, strength = example
        return squared(x @ p) + strength * jnp.sum(jnp.abs(p))

    return Case(loss, draw(5, 6), (draw(BATCH, 5), draw(BATCH) ** 2))


@case
def log_determinant(draw):
    def loss(p, x):
        return squared(x @ p) - jnp.linalg.slogdet(p + 3 * jnp.eye(5))[1]

    return Case(loss, draw(5, 5), draw(BATCH, 5))


@case
def singular_values(draw):
    def loss(p, x):
        return jnp.sum(jnp.linalg.svd(p * x, compute_uv=False)) + squared(x @ p)

    return Case(loss, draw(4, 4), draw(BATCH, 4))


@case
def eigenvalues(draw):
    def loss(p, x):
        values, vectors = jnp.linalg.eigh(p + p.T + jnp.diag(x))
        return jnp.sum(values**2 * vectors[0] ** 2)

    return Case(loss, draw(4, 4), draw(BATCH, 4))


@case
def linear_system(draw):
    def loss(p, x):
        system = p["a"] + 4 * jnp.eye(4)
        lower = jnp.tril(p["l"]) + 3 * jnp.eye(4)
        return squared(jnp.linalg.solve(system, x)) + squared(
            jsp.linalg.solve_triangular(lower, x, lower=True)
        )

    return Case(loss, {"a": draw(4, 4), "l": draw(4, 4)}, draw(BATCH, 4))


@case
def iterative_solver(draw):
    def loss(p, x):
        system = p @ p.T + jnp.eye(4)
        return squared(jsp.sparse.linalg.cg(lambda v: system @ v, x, maxiter=20, tol=1e-14)[0])

    return Case(loss, draw(4, 4), draw(BATCH, 4))


@case
def unused_parameters(draw):
    def loss(p, x):
        return squared(x @ p["w"]) + 0.0 * jnp.sum(p["times_zero"])

    unused = {"table": draw(7, 2), "scalar": draw()}
    params = {"w": draw(5, 3), "times_zero": draw(4), "unused": unused}
    return Case(loss, params, draw(BATCH, 5))


@case
def no_parameter_matters(draw):
    def loss(p, x):
        return squared(x)

    return Case(loss, {"w": draw(5, 3)}, draw(BATCH, 5))


@case
def no_example_matters(draw):
    def loss(p, x):
        return squared(p["w"] @ p["v"])

    return Case(loss, {"w": draw(5, 3), "v": draw(3)}, draw(BATCH, 5))


@case
def loss_is_a_parameter(draw):
    def loss(p, x):
        return p["b"]

    return Case(loss, {"b": draw(), "w": draw(2)}, draw(BATCH, 5))


@case
def loss_is_a_sum_of_parameters(draw):
    def loss(p, x):
        return jnp.sum(p["w"]) + x[0] * jnp.mean(p["v"])

    return Case(loss, {"w": draw(4, 3), "v": draw(2, 6)}, draw(BATCH, 5))


@case
def parameter_only_stopped(draw):
    def loss(p, x):
        return squared(x @ jax.lax.stop_gradient(p["frozen"]) @ p["w"])

    return Case(loss, {"frozen": draw(5, 4), "w": draw(4, 3)}, draw(BATCH, 5))


@case
def parameter_without_a_derivative(draw):
    def loss(p, x):
        index = jnp.argmax(p["scores"])
        return squared(x @ p["w"]) * (1.0 + index) + jnp.sum(jnp.sign(p["scores"]))

    return Case(loss, {"scores": draw(4), "w": draw(5, 3)}, draw(BATCH, 5))


@case
def scalar_parameters(draw):
    def loss(p, x):
        return p["a"] * jnp.tanh(p["b"] * x) + p["c"] ** 2 * x

    return Case(loss, {"a": draw(), "b": draw(), "c": draw()}, draw(BATCH))


@case
def parameter_without_elements(draw):
    def loss(p, x):
        return squared(x @ p["w"]) + jnp.sum(p["empty"])

    return Case(loss, {"w": draw(5, 3), "empty": draw(0, 3)}, draw(BATCH, 5))


@case
def width_zero(draw):
    """A layer without units: a product contracted over nothing."""

    def loss(p, x):
        return squared(x @ p["w"] @ p["v"] + x @ p["direct"])

    return Case(loss, {"w": draw(5, 0), "v": draw(0, 3), "direct": draw(5, 3)}, draw(BATCH, 5))
