"""The Llama family: Llama, SmolLM2, Qwen2."""

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from gujax.models._attention import attend, rotated
from gujax.models._embedding import Embedding, output_layer
from gujax.models._language_config import LanguageConfig, check_length


class LlamaBlock(nnx.Module):
    """Attention with rotary positions, then a gated feed-forward network; RMS norms before both."""

    def __init__(self, config: LanguageConfig, *, rngs: nnx.Rngs):
        c, self.config = config, config

        def linear(inputs: int, outputs: int, bias: bool = False) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, use_bias=bias, rngs=rngs)

        self.attention_norm = nnx.RMSNorm(c.width, epsilon=c.epsilon, rngs=rngs)
        self.queries = linear(c.width, c.heads * c.head_size, c.qkv_bias)
        self.keys = linear(c.width, c.key_heads * c.head_size, c.qkv_bias)
        self.values = linear(c.width, c.key_heads * c.head_size, c.qkv_bias)
        self.attention_out = linear(c.heads * c.head_size, c.width)
        self.feed_forward_norm = nnx.RMSNorm(c.width, epsilon=c.epsilon, rngs=rngs)
        self.gate = linear(c.width, c.hidden)
        self.expand = linear(c.width, c.hidden)
        self.contract = linear(c.hidden, c.width)

    def __call__(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        """Activations after the block."""
        x = x + self.attention_out(self._attend(self.attention_norm(x)))
        normed = self.feed_forward_norm(x)
        return x + self.contract(jax.nn.silu(self.gate(normed)) * self.expand(normed))

    def _attend(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t heads_size"]:
        def heads(flat: Float[Array, "batch t heads_size"]) -> Float[Array, "batch t heads size"]:
            return flat.reshape(*flat.shape[:2], -1, self.config.head_size)

        queries, keys = (
            rotated(heads(layer(x)), self.config.rope_theta) for layer in (self.queries, self.keys)
        )
        return attend(queries, keys, heads(self.values(x)))


class Llama(nnx.Module):
    """Token embedding, blocks, an RMS norm, and an output layer, which may be the embedding.

    Touvron et al. 2023 (arXiv 2302.13971, 2307.09288); with biases, Qwen2 (arXiv 2407.10671).
    """

    def __init__(self, config: LanguageConfig, *, rngs: nnx.Rngs):
        self.context = config.context
        self.tokens = Embedding(config.vocabulary, config.width, rngs=rngs)
        self.blocks = nnx.List([LlamaBlock(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = nnx.RMSNorm(config.width, epsilon=config.epsilon, rngs=rngs)
        self.output = output_layer(config, rngs)

    def __call__(self, tokens: Int[Array, "batch t"]) -> Float[Array, "batch t vocabulary"]:
        """Logits of the token that follows each position."""
        check_length(tokens, self.context)
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.tokens.attend(x) if self.output is None else self.output(x)
