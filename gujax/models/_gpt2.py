"""GPT-2 and GPT-NeoX, as published."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from gujax.models._attention import attend, rotated
from gujax.models._embedding import Embedding, output_layer
from gujax.models._language_config import LanguageConfig, check_length


def _norm(config: LanguageConfig, rngs: nnx.Rngs) -> nnx.LayerNorm:
    # The fast variance, E[x²] − E[x]², loses digits that published logits have.
    return nnx.LayerNorm(config.width, epsilon=config.epsilon, use_fast_variance=False, rngs=rngs)


class GPTBlock(nnx.Module):
    """Causal self-attention and a feed-forward network, each on its normalized input.

    GPT-2 reads learned positions from its input, GPT-NeoX rotates queries and keys.
    """

    def __init__(self, config: LanguageConfig, *, rngs: nnx.Rngs):
        c, self.config = config, config
        self.attention_norm = _norm(config, rngs)
        self.queries_keys_values = nnx.Linear(c.width, 3 * c.width, rngs=rngs)
        self.attention_out = nnx.Linear(c.width, c.width, rngs=rngs)
        self.feed_forward_norm = _norm(config, rngs)
        self.expand = nnx.Linear(c.width, c.hidden, rngs=rngs)
        self.contract = nnx.Linear(c.hidden, c.width, rngs=rngs)

    def __call__(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        """Activations after the block."""
        attended = self.attention_out(self._attend(self.attention_norm(x)))
        if self.config.family == "gpt_neox" and self.config.parallel:
            return x + attended + self._feed_forward(x)
        x = x + attended
        return x + self._feed_forward(x)

    def _feed_forward(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        # GPT-2 has the approximation by tanh, GPT-NeoX the exact function.
        gelu = partial(jax.nn.gelu, approximate=self.config.family == "gpt2")
        return self.contract(gelu(self.expand(self.feed_forward_norm(x))))

    def _attend(self, x: Float[Array, "batch t width"]) -> Float[Array, "batch t width"]:
        c, fused = self.config, self.queries_keys_values(x)
        if c.family == "gpt2":  # all queries, all keys, all values
            split = fused.reshape(*x.shape[:2], 3, c.heads, c.head_size)
            queries, keys, values = jnp.moveaxis(split, 2, 0)
            return attend(queries, keys, values)
        # Head after head, each with its query, key and value.
        split = fused.reshape(*x.shape[:2], c.heads, 3, c.head_size)
        queries, keys, values = jnp.moveaxis(split, 3, 0)
        queries, keys = (rotated(part, c.rope_theta, c.rope_share) for part in (queries, keys))
        return attend(queries, keys, values)


class PublishedGPT(nnx.Module):
    """Embeddings, blocks, a layer norm, and an output layer, which may be the token embedding.

    Radford et al. 2019 ("Language Models are Unsupervised Multitask Learners"); Black et al. 2022
    (arXiv 2204.06745). Dropout is left out.
    """

    def __init__(self, config: LanguageConfig, *, rngs: nnx.Rngs):
        self.context = config.context
        self.tokens = Embedding(config.vocabulary, config.width, rngs=rngs)
        self.positions = (
            Embedding(config.context, config.width, rngs=rngs) if config.family == "gpt2" else None
        )
        self.blocks = nnx.List([GPTBlock(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = _norm(config, rngs)
        self.output = output_layer(config, rngs)

    def __call__(self, tokens: Int[Array, "batch t"]) -> Float[Array, "batch t vocabulary"]:
        """Logits of the token that follows each position."""
        check_length(tokens, self.context)
        x = self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.tokens.attend(x) if self.output is None else self.output(x)
