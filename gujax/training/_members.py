"""Which examples each of several models is trained on."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray


def random_halves(
    key: PRNGKeyArray, num_models: int, num_examples: int
) -> Bool[Array, "models examples"]:
    """Random halves such that every example is in exactly half of the models.

    Models come in pairs, a random half and its complement, so each example has as many models
    trained with it as without it, and each model has N/2 examples (rounded down or up).

    Args:
        key: PRNG key.
        num_models: number of models M, even.
        num_examples: number of examples N.

    Returns:
        True where the model is trained on the example, [M, N].

    Raises:
        ValueError: if ``num_models`` is odd.
    """
    if num_models % 2:
        raise ValueError(f"num_models={num_models} must be even: halves come in pairs")
    keys = jax.random.split(key, num_models // 2)
    halves = jax.vmap(lambda k: jax.random.permutation(k, num_examples) < num_examples // 2)(keys)
    return jnp.concatenate([halves, ~halves])
