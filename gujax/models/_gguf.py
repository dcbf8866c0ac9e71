"""GGUF files: one file with configuration, tokenizer and (quantized) parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gujax._extras import extra
from gujax.models._checkpoint import Names, check_tokenizer, read_params, values_of
from gujax.models._language import LanguageModel, language_model
from gujax.models._language_config import LanguageConfig

_NAMES = Names(
    outside={"tokens": "token_embd", "norm": "output_norm", "output": "output"},
    block="blk.{}.",
    inside={
        "attention_norm": "attn_norm",
        "queries": "attn_q",
        "keys": "attn_k",
        "values": "attn_v",
        "attention_out": "attn_output",
        "feed_forward_norm": "ffn_norm",
        "gate": "ffn_gate",
        "expand": "ffn_up",
        "contract": "ffn_down",
    },
)
_ARCHITECTURES = ("llama", "qwen2")
_USED = (
    *("block_count", "context_length", "embedding_length", "feed_forward_length"),
    *("attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
    *("attention.key_length", "attention.value_length", "rope.freq_base", "rope.dimension_count"),
    *("vocab_size", "attention.causal"),
)
# How texts are cut before pairs of bytes are merged, by the name that a file has for it.
_SPLITS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+"
    r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?"
    r"[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
_CONTROL = 3  # the type of a token that is no text
_USER_DEFINED = 4  # the type of a token that no merge makes
_NO_SCALING = (None, "none", "")


def from_gguf(file: str | Path) -> LanguageModel:
    """Read a model of the Llama family from a GGUF file.

    Quantized tensors are multiplied out to float32: the model is that of the file, not the one
    that was quantized.

    Args:
        file: the file.

    Returns:
        The model with its parameters and tokenizer.

    Raises:
        ValueError: if the file cannot be read, the architecture is neither ``"llama"`` nor
            ``"qwen2"``, an entry is not honoured (scaled rotary positions, a sliding window,
            experts), a tensor is missing, of a wrong shape, of a type that cannot be multiplied
            out, or has no place, or the tokenizer is not known or does not fit.
        ModuleNotFoundError: if the extra ``lm`` is not installed.
    """
    with extra("lm"):
        import gguf
    path = Path(file)
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as a GGUF file ({error}); get it again") from None
    entries = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    with values_of(str(path)):
        architecture, config = _config(entries, tensors, str(path))
    permuted = architecture == "llama"

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        try:
            array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except (NotImplementedError, KeyError):
            raise ValueError(
                f"{path}: tensor {name!r} is of the type {tensor.tensor_type.name}, which is not "
                "supported; use a file in F32, F16, BF16, Q8_0 or one of Q4_0 to Q6_K"
            ) from None
        if permuted and name.endswith(("attn_q.weight", "attn_k.weight")):
            return _half_by_half(array, config.head_size)
        return np.asarray(array, np.float32)

    model = language_model(config)
    params = read_params(model, _NAMES, read, tensors, str(path))
    with values_of(str(path)):
        tokenizer = _tokenizer(entries, str(path))
    check_tokenizer(tokenizer, config.vocabulary, str(path))
    return LanguageModel(path.stem, config, model, params, tokenizer)


def _half_by_half(matrix: np.ndarray, head_size: int) -> np.ndarray:
    """Rows of a head in the order of our rotation; the file has those that turn together paired."""
    pairs = matrix.reshape(-1, head_size // 2, 2, matrix.shape[-1])
    return np.asarray(pairs.swapaxes(1, 2).reshape(matrix.shape), np.float32)


def _config(
    entries: Mapping[str, Any], tensors: Mapping[str, Any], source: str
) -> tuple[str, LanguageConfig]:
    architecture = entries.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise ValueError(
            f"{source}: the architecture {architecture!r} is not supported; use a file of "
            f"{' or '.join(_ARCHITECTURES)}, or safetensors"
        )
    start = f"{architecture}."
    found = {k.removeprefix(start): v for k, v in entries.items() if k.startswith(start)}

    def refuse(name: str, value: Any) -> None:
        raise ValueError(
            f"{source}: {start}{name}={value!r} is not supported, and to leave it out would change "
            "what the model computes; choose another model"
        )

    def get(name: str, *default: Any) -> Any:
        if name not in found and not default:
            raise ValueError(f"{source} has no entry {start}{name}, which the model needs")
        return found.get(name, *default)

    if (causal := get("attention.causal", True)) is not True:
        refuse("attention.causal", causal)
    for name, value in found.items():
        harmless = name == "rope.scaling.type" and value in _NO_SCALING
        if name not in _USED and not harmless and value not in (0, False):
            refuse(name, value)
    if "rope_freqs.weight" in tensors:  # Llama 3's way to scale
        refuse("rope_freqs.weight", "a tensor")
    width, heads = get("embedding_length"), get("attention.head_count")
    head_size = get("attention.key_length", width // heads)
    for name in ("attention.value_length", "rope.dimension_count"):
        if (value := get(name, head_size)) != head_size:
            refuse(name, value)
    tokens = entries.get("tokenizer.ggml.tokens", ())
    return architecture, LanguageConfig(
        family="llama",
        vocabulary=get("vocab_size", len(tokens)),
        context=get("context_length"),
        width=width,
        layers=get("block_count"),
        heads=heads,
        key_heads=get("attention.head_count_kv", heads),
        hidden=get("feed_forward_length"),
        head_size=head_size,
        epsilon=float(get("attention.layer_norm_rms_epsilon")),
        rope_theta=float(get("rope.freq_base", 10000.0)),
        tied="output.weight" not in tensors,
        qkv_bias=architecture == "qwen2",
    )


def _tokenizer(entries: Mapping[str, Any], source: str) -> Any:
    with extra("lm"):
        from tokenizers import (
            AddedToken,
            Regex,
            Tokenizer,
            decoders,
            models,
            pre_tokenizers,
            processors,
        )
    kind, cut = (entries.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if kind != "gpt2":
        raise ValueError(
            f"{source}: the tokenizer {kind!r} is not supported, only byte pairs ('gpt2'); use "
            "safetensors with a tokenizer.json"
        )
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    split: Any
    if cut == "gpt-2":
        split = whole
    elif cut == "smollm":
        split = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    elif cut in _SPLITS:
        pattern = pre_tokenizers.Split(Regex(_SPLITS[cut]), "isolated")
        merged = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        split = pre_tokenizers.Sequence([pattern, merged])
    else:
        raise ValueError(
            f"{source}: texts are cut in the way {cut!r}, which is not known; use safetensors with "
            "a tokenizer.json"
        )
    tokens = entries["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ", 1)) for pair in entries["tokenizer.ggml.merges"]]
    pairs = models.BPE(
        {token: i for i, token in enumerate(tokens)}, merges, ignore_merges=cut == "llama-bpe"
    )
    tokenizer = Tokenizer(pairs)
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    kinds = entries.get("tokenizer.ggml.token_type", ())
    special = [token for token, kind in zip(tokens, kinds) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    whole_tokens = [token for token, kind in zip(tokens, kinds) if kind == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in whole_tokens])
    around = {}
    # Where the file is silent, llama.cpp begins a text only where texts are cut as Llama 3 does.
    for name, default in (("bos", cut == "llama-bpe"), ("eos", False)):
        if entries.get(f"tokenizer.ggml.add_{name}_token", default):
            around[name] = int(entries[f"tokenizer.ggml.{name}_token_id"])
    if around:
        names = {name: tokens[i] for name, i in around.items()}
        begin, end = ([names[name]] if name in names else [] for name in ("bos", "eos"))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*begin, "$A", *end],
            special_tokens=[(names[name], i) for name, i in around.items()],
        )
    return tokenizer
