"""What hyperparameters may be: every one can be scheduled, or batched by `vmap`."""

from jax.typing import ArrayLike
from jaxtyping import Array, Int

Scalar = ArrayLike  # a number, or a traced scalar
Size = int | Int[Array, ""]  # a number, which optax.inject_hyperparams makes an array
