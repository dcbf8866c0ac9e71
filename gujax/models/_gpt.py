"""A decoder-only transformer with tied embeddings."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from gujax.models._model import Model, from_module
from gujax.validation import check_count


class Block(nnx.Module):
    """Causal self-attention, then a feed-forward network, each added to its normalized input."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.queries_keys_values = nnx.Linear(width, 3 * width, rngs=rngs)
        self.attention_out = nnx.Linear(width, width, rngs=rngs)
        self.feed_forward_norm = nnx.LayerNorm(width, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, rngs=rngs)
        self.contract = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        """Activations after the block."""
        x = x + self.attention_out(self._attend(self.attention_norm(x)))
        return x + self.contract(jax.nn.gelu(self.expand(self.feed_forward_norm(x))))

    def _attend(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        split = (*x.shape[:2], 3, self.heads, x.shape[-1] // self.heads)
        queries, keys, values = jnp.moveaxis(self.queries_keys_values(x).reshape(split), 2, 0)
        attended = jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
        return attended.reshape(x.shape)


class GPT(nnx.Module):
    """Token and position embeddings, blocks, and the token embedding again as output layer.

    Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners"), pre-norm, without
    dropout.
    """

    def __init__(
        self, vocabulary: int, context: int, width: int, layers: int, heads: int, *, rngs: nnx.Rngs
    ):
        init = nnx.initializers.normal(0.02)
        self.tokens = nnx.Embed(vocabulary, width, embedding_init=init, rngs=rngs)
        self.positions = nnx.Embed(context, width, embedding_init=init, rngs=rngs)
        self.blocks = nnx.List([Block(width, heads, rngs=rngs) for _ in range(layers)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(self, tokens: Int[Array, "batch t"]) -> Float[Array, "batch t vocabulary"]:
        """Logits of the token that follows each position."""
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.attend(self.norm(x))


def gpt(context: int, vocabulary: int, width: int = 256, layers: int = 4, heads: int = 4) -> Model:
    """A GPT with tied embeddings.

    Args:
        context: number of tokens T of one example, all of which are read.
        vocabulary: number of tokens V there are.
        width: width of the residual stream, a multiple of `heads`.
        layers: number of blocks.
        heads: attention heads per block.

    Returns:
        The model as pure functions: `apply` maps tokens [..., T], ints below V, to the logits
        [..., T, V] of the tokens that follow.

    Raises:
        ValueError: if a size is not positive, or the width is not a multiple of the heads.
    """
    sizes = {"context": context, "vocabulary": vocabulary, "width": width, "layers": layers}
    for name, size in (sizes | {"heads": heads}).items():
        check_count(name, size)
    if width % heads:
        raise ValueError(f"width={width} must be a multiple of heads={heads}")

    def make(rngs: nnx.Rngs) -> GPT:
        return GPT(vocabulary, context, width, layers, heads, rngs=rngs)

    flat = from_module(make, (context,))

    def apply(params: PyTree, tokens: Int[Array, "..."]) -> Float[Array, "..."]:
        return flat.apply(params, tokens).reshape(*tokens.shape, vocabulary)

    return Model(flat.init, apply)


def gpt_attention_inputs(
    params: PyTree, tokens: Int[Array, "batch t"], heads: int = 4
) -> tuple[Float[Array, "batch t width"], ...]:
    """What the projection to queries, keys and values is given, block by block.

    Args:
        params: parameters of a `gpt`.
        tokens: texts, [batch, t].
        heads: attention heads per block, as the model was built with; its parameters do not tell.

    Returns:
        The normalized residual stream before each block's attention, each [batch, t, width].
    """
    vocabulary, width = params["tokens"]["embedding"].shape
    context, layers = len(params["positions"]["embedding"]), len(params["blocks"])
    structure = nnx.graphdef(
        nnx.eval_shape(lambda: GPT(vocabulary, context, width, layers, heads, rngs=nnx.Rngs(0)))
    )
    model = nnx.merge(structure, params)
    x = model.tokens(tokens) + model.positions(jnp.arange(tokens.shape[1]))
    seen = []
    for block in model.blocks:
        seen.append(block.attention_norm(x))
        x = block(x)
    return tuple(seen)
