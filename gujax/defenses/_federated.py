"""Federated averaging: what is shared after several local steps."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from gujax.hashing import cached
from gujax.training import GradientFn
from gujax.validation import check_count, check_positive


@cached  # the same function for the same arguments, so that jit finds it again
def local_steps(
    gradient_fn: GradientFn,
    learning_rate: float,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
) -> GradientFn:
    """The update that a client of federated averaging shares.

    McMahan et al. 2017 (arXiv 1602.05629, Algorithm 1, ClientUpdate): from the server's parameters
    θ, SGD on the client's examples in batches, in their order, for some epochs; shared is θ − θ',
    here as the sum of the steps, which has no rounding error of a difference. One step on all
    examples shares learning_rate · gradient.

    It is attacked as a gradient is: the victim computes ``observed`` with it, and the attacker
    gives it to `gujax.attacks.inversion.invert` as ``gradient_fn``.

    Args:
        gradient_fn: gradient of a batch, such as one of `gujax.attacks.inversion.batch_gradient`.
        learning_rate: of the local steps.
        batch_size: examples per step; None for all of them.
        epochs: passes over the examples. PRNG keys that are part of the examples are used again in
            every pass.

    Returns:
        ``update_fn(params, examples)``, a pytree like ``params``; it raises `ValueError` if the
        batches do not divide the examples.

    Raises:
        ValueError: if an argument is out of range.
    """
    check_positive("learning_rate", learning_rate)
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            check_count(name, value)

    def update_fn(params: PyTree, examples: PyTree) -> PyTree:
        num_examples = len(jax.tree.leaves(examples)[0])
        size = batch_size or num_examples
        if num_examples % size:
            raise ValueError(f"batch_size={size} must divide the {num_examples} examples")
        batches = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), examples)

        def step(total: PyTree, batch: PyTree) -> tuple[PyTree, None]:
            local = jax.tree.map(jnp.subtract, params, total)
            gradient = gradient_fn(local, batch)
            return jax.tree.map(lambda t, g: t + learning_rate * g, total, gradient), None

        def epoch(total: PyTree, _: None) -> tuple[PyTree, None]:
            return jax.lax.scan(step, total, batches)

        return jax.lax.scan(epoch, jax.tree.map(jnp.zeros_like, params), length=epochs)[0]

    return update_fn
