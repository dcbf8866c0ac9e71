"""The input of a first fully connected layer, in closed form."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gujax.validation import is_concrete


def first_layer_input(
    kernel_gradient: Float[Array, "inputs outputs"], bias_gradient: Float[Array, " outputs"]
) -> Float[Array, " inputs"]:
    """The input of a fully connected layer with bias, from the gradient of one example.

    With y = xᵀW + b, ∂L/∂W = x δᵀ and ∂L/∂b = δ, so every output i with δ_i ≠ 0 gives
    x = ∂L/∂W_{:,i} / δ_i (Phong et al. 2017; Geiping et al. 2020, proposition 3.1). All of them
    together give it by least squares, x = ∂L/∂W δ / ‖δ‖², in which noise on the gradient averages
    out. For a batch, the result is a mixture of its inputs.

    Args:
        kernel_gradient: gradient of the kernel, [inputs, outputs] as Flax keeps it.
        bias_gradient: gradient of the bias, [outputs].

    Returns:
        The layer's input, flat, [inputs]; in compiled code, NaN if ``bias_gradient`` is 0.

    Raises:
        ValueError: if shapes do not fit, or ``bias_gradient`` is 0 everywhere.
    """
    if kernel_gradient.ndim != 2 or kernel_gradient.shape[1:] != bias_gradient.shape:
        raise ValueError(
            f"kernel_gradient of shape {kernel_gradient.shape} must be (inputs, outputs) with the "
            f"outputs of bias_gradient, which has shape {bias_gradient.shape}"
        )
    if is_concrete(bias_gradient) and not jnp.any(bias_gradient):
        raise ValueError(
            "bias_gradient is 0 everywhere: no unit of the layer was active, so its gradient does "
            "not depend on the input"
        )
    return kernel_gradient @ (bias_gradient / jnp.vdot(bias_gradient, bias_gradient))
