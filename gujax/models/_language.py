"""Language models: pure functions of a configuration, and with published parameters."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from gujax.models._gpt2 import PublishedGPT
from gujax.models._language_config import LanguageConfig
from gujax.models._llama import Llama
from gujax.models._model import Model
from gujax.validation import check_count


def language_model(config: LanguageConfig) -> Model:
    """A language model as pure functions.

    Args:
        config: its shape.

    Returns:
        `apply` maps tokens [..., T], ints below V and T at most the context, to the logits
        [..., T, V] of the tokens that follow; `make` builds the module.
    """
    kind = Llama if config.family == "llama" else PublishedGPT

    def make(rngs: nnx.Rngs) -> nnx.Module:
        return kind(config, rngs=rngs)

    structure = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def init(key: PRNGKeyArray) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: PyTree, tokens: Int[Array, "..."]) -> Float[Array, "..."]:
        logits = nnx.merge(structure, params)(tokens.reshape(-1, tokens.shape[-1]))
        return logits.reshape(*tokens.shape, config.vocabulary)

    return Model(init, apply, make)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model with its parameters and tokenizer.

    Attributes:
        name: what it was read from.
        config: its shape.
        model: its pure functions.
        params: its parameters.
        tokenizer: a `tokenizers.Tokenizer`: ``encode(text).ids``, ``decode(ids)``; None if the
            folder has none.
    """

    name: str
    config: LanguageConfig
    model: Model
    params: PyTree
    tokenizer: Any


def generate(
    model: Model,
    params: PyTree,
    tokens: Int[np.ndarray, " prompt"],
    num_tokens: int,
    *,
    temperature: float = 0.0,
    key: PRNGKeyArray | None = None,
) -> Int[np.ndarray, " text"]:
    """Continue one prompt, token by token, to look at what a model says.

    Every token takes a whole forward pass: this is for texts of a few dozen tokens.

    Args:
        model: a language model.
        params: its parameters.
        tokens: the prompt, [T].
        num_tokens: how many tokens to add; prompt and these must fit into the context.
        temperature: 0 for the likeliest token each time; above, tokens are drawn.
        key: PRNG key of the draws; required if the temperature is positive.

    Returns:
        Prompt and continuation, [T + num_tokens].

    Raises:
        ValueError: if the prompt is empty, it gets too long, or draws have no key.
    """
    prompt = np.asarray(tokens, np.int32)
    check_count("num_tokens", num_tokens)
    if prompt.ndim != 1 or not prompt.size:
        raise ValueError(f"tokens has shape {prompt.shape}, needed are those of one prompt, [T]")
    if temperature > 0 and key is None:
        raise ValueError("key is missing: temperature is positive, so tokens are drawn; give one")
    text = np.concatenate([prompt, np.zeros(num_tokens, np.int32)])  # one length, one compilation
    keys = None if key is None else jax.random.split(key, num_tokens)
    for step in range(num_tokens):
        place = len(prompt) + step
        logits = _logits_at(model.apply, params, jnp.asarray(text), place - 1)
        if temperature > 0:
            assert keys is not None
            text[place] = int(jax.random.categorical(keys[step], logits / temperature))
        else:
            text[place] = int(jnp.argmax(logits))
    return text


@partial(jax.jit, static_argnums=0)
def _logits_at(apply, params, text, position):
    return apply(params, text)[position]
