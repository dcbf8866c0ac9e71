"""Writes the checkpoints of this folder and their logits, by a reference implementation.

Run with an environment that has `torch`, `transformers` and `tokenizers`:

    python tests/models/golden/write.py

Every checkpoint is random, of two layers and a few thousand parameters. `logits.npz` holds, by the
folder's name, the logits of the tokens `tokens`; "gpt2" is written in several files.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

HERE = Path(__file__).parent
PLACES = ["the", "capital", "of", "france", "is", "paris", "and", "rome", "in", "italy"]
WORDS = [*PLACES, *"abcdefghijklmn"]
SHARED = {"vocab_size": 32, "bos_token_id": 0, "eos_token_id": 0}
LLAMA = {
    **SHARED,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 24,
}
NEOX = {
    **SHARED,
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
    "rotary_pct": 0.5,
}
CONFIGS = {
    "llama": transformers.LlamaConfig(**LLAMA, tie_word_embeddings=False),
    "smollm2": transformers.LlamaConfig(
        **LLAMA, tie_word_embeddings=True, rope_theta=100000.0, rms_norm_eps=1e-5
    ),
    "qwen2": transformers.Qwen2Config(**LLAMA, tie_word_embeddings=True),
    "gpt2": transformers.GPT2Config(**SHARED, n_positions=24, n_embd=16, n_layer=2, n_head=4),
    "gpt_neox": transformers.GPTNeoXConfig(**NEOX, use_parallel_residual=True),
    "gpt_neox_serial": transformers.GPTNeoXConfig(**NEOX, use_parallel_residual=False),
}


def main():
    torch.manual_seed(0)
    tokens = np.random.default_rng(0).integers(0, 32, (2, 11))
    logits = {}
    for name, config in CONFIGS.items():
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():  # far from uniform attention, no bias of zero
                parameter.add_(0.3 * torch.randn_like(parameter))
            logits[name] = model(torch.as_tensor(tokens)).logits.numpy()
        size = "8KB" if name == "gpt2" else "1GB"
        model.save_pretrained(HERE / name, max_shard_size=size)
        for extra in (HERE / name).glob("generation_config.json"):
            extra.unlink()
    np.savez_compressed(HERE / "logits.npz", tokens=tokens, **logits)
    vocabulary = {word: index for index, word in enumerate(["<end>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    for name in CONFIGS:
        tokenizer.save(str(HERE / name / "tokenizer.json"))


if __name__ == "__main__":
    main()
