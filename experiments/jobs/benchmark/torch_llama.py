"""A published language model in PyTorch, as `transformers` has it; needs the `bench` extra."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
import transformers
from jaxtyping import PyTree

from experiments.jobs.benchmark.torch_twins import as_ours, filled
from gujax import models

_NAMES = {
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
            name: filled(layer.get_submodule(_NAMES[name]), ours)[1]
            for name, ours in params["blocks"][number].items()
        }
        for number, layer in zip(sorted(params["blocks"]), theirs.model.layers)
    }
    twin = {"blocks": blocks, "norm": filled(theirs.model.norm, params["norm"])[1]}

    def as_one() -> PyTree:
        both = sum(table.detach() for table in tables) - embedding
        tokens = {"embedding": both.numpy()}  # type: ignore[union-attr]
        return jax.tree.map(as_ours, twin) | {"tokens": tokens}

    return Logits(theirs), as_one
