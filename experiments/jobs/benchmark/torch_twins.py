"""Layers of PyTorch with the parameters of ours; they need the `bench` extra.

With each layer comes its twin: its own parameters as a pytree like ours.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import transformers
from jaxtyping import PyTree

from gujax import models

Twinned = tuple[Any, PyTree]

# The order in which PyTorch has the axes of our parameters, and the other way round, by their
# number: [height, width, in, out] of a convolution is [out, in, height, width] there.
_THEIRS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
_OURS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


class ChannelsLast(torch.nn.Module):
    """Flattens images as ours are flattened: channels vary fastest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def linear(ours: PyTree) -> Twinned:
    """A fully connected layer."""
    return _filled(torch.nn.Linear(*ours["kernel"].shape), ours)


def convolution(ours: PyTree, **options: Any) -> Twinned:
    """A convolution; stride and padding are not in its parameters."""
    *size, c_in, c_out = ours["kernel"].shape
    return _filled(torch.nn.Conv2d(c_in, c_out, tuple(size), **options), ours)


def group_norm(ours: PyTree) -> Twinned:
    """Normalization of groups of 8 channels, as Flax has it."""
    (channels,) = ours["scale"].shape
    return _filled(torch.nn.GroupNorm(channels // 8, channels, eps=1e-6), ours)


class Logits(torch.nn.Module):
    """A language model of `transformers`, of which only the logits are looked at."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=tokens, use_cache=False).logits


def llama(
    params: PyTree, config: models.LanguageConfig
) -> tuple[torch.nn.Module, Callable[[], PyTree]]:
    """A Llama whose tied embedding is two parameters, and what gives its parameters as ours."""
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.key_heads,
            head_dim=config.head_size,
            max_position_embeddings=config.context,
            rms_norm_eps=config.epsilon,
            rope_theta=config.rope_theta,
            tie_word_embeddings=False,
        )
    )
    embedding = torch.tensor(np.array(params["tokens"]["embedding"]))
    tables = theirs.model.embed_tokens.weight, theirs.lm_head.weight
    with torch.no_grad():
        for table in tables:
            table.copy_(embedding)
    blocks = {
        number: {
            name: _filled(layer.get_submodule(_LLAMA[name]), ours)[1]
            for name, ours in params["blocks"][number].items()
        }
        for number, layer in zip(sorted(params["blocks"]), theirs.model.layers)
    }
    twin = {"blocks": blocks, "norm": _filled(theirs.model.norm, params["norm"])[1]}

    def as_one() -> PyTree:
        both = sum(table.detach() for table in tables) - embedding
        tokens = {"embedding": both.numpy()}  # type: ignore[union-attr]
        return jax.tree.map(as_ours, twin) | {"tokens": tokens}

    return Logits(theirs), as_one


_LLAMA = {
    "attention_norm": "input_layernorm",
    "queries": "self_attn.q_proj",
    "keys": "self_attn.k_proj",
    "values": "self_attn.v_proj",
    "attention_out": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "expand": "mlp.up_proj",
    "contract": "mlp.down_proj",
}


def as_ours(theirs: torch.Tensor) -> np.ndarray:
    """A parameter, or its gradient, with its axes in our order."""
    return theirs.detach().permute(_OURS[theirs.ndim]).numpy()


def _filled(layer: Any, ours: PyTree) -> Twinned:
    twin = {name: layer.bias if name == "bias" else layer.weight for name in ours}
    with torch.no_grad():
        for name, theirs in twin.items():
            theirs.copy_(torch.tensor(np.array(ours[name])).permute(_THEIRS[theirs.ndim]))
    return layer, twin
