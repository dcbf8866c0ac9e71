"""GGUF files, written as the tools that convert checkpoints write them."""

from pathlib import Path

import gguf
import numpy as np

GOLDEN = Path(__file__).parent / "golden"

_LAYERS = {
    "attention_norm": "attn_norm",
    "queries": "attn_q",
    "keys": "attn_k",
    "values": "attn_v",
    "attention_out": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "gate": "ffn_gate",
    "expand": "ffn_up",
    "contract": "ffn_down",
}


def _entry(writer, name, value):
    of = {str: writer.add_string, bool: writer.add_bool}
    of.get(type(value), writer.add_uint32)(name, value)


def write_gguf(
    path,
    lm,
    kind,
    arch="llama",
    entries=(),
    pre="smollm",
    tokenizer="gpt2",
    leave_out=None,
    raw=None,
    ggml=(),
):
    """Writes a model of the Llama family with a tokenizer of bytes; returns the path."""
    c = lm.config
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.hidden)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.key_heads)
    writer.add_layer_norm_rms_eps(c.epsilon)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_vocab_size(c.vocabulary)
    for name, value in dict(entries).items():
        _entry(writer, f"{arch}.{name}", value)
    for name, value in dict(ggml).items():
        _entry(writer, f"tokenizer.ggml.{name}", value)
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["<end>", "a", "b", "Ġ", "ab", "abb", "<tool>"])
    writer.add_token_types([3, 1, 1, 1, 1, 1, 4])
    writer.add_token_merges(["a b"])

    def add(name, array):
        if name == leave_out:
            return
        if name == raw:
            writer.add_tensor(name, np.zeros(array.shape, np.int8))
            return
        # Quantized types have blocks of 32 entries.
        fits = array.ndim == 2 and array.shape[-1] % 32 == 0 and kind != "F32"
        type_ = gguf.GGMLQuantizationType[kind if fits else "F32"]
        writer.add_tensor(name, gguf.quants.quantize(array, type_), raw_dtype=type_)

    def permuted(array, heads):
        """As convert_hf_to_gguf.py has it: `LlamaModel.permute`."""
        shape = heads, 2, array.shape[0] // heads // 2, *array.shape[1:]
        return array.reshape(shape).swapaxes(1, 2).reshape(array.shape)

    p = lm.params
    add("token_embd.weight", np.asarray(p["tokens"]["embedding"]))
    add("output_norm.weight", np.asarray(p["norm"]["scale"]))
    for index, block in p["blocks"].items():
        for ours, theirs in _LAYERS.items():
            layer, name = block[ours], f"blk.{index}.{theirs}"
            if "scale" in layer:
                add(f"{name}.weight", np.asarray(layer["scale"]))
                continue
            matrix = np.ascontiguousarray(np.asarray(layer["kernel"]).T)
            if arch == "llama" and ours in ("queries", "keys"):
                matrix = permuted(matrix, c.heads if ours == "queries" else c.key_heads)
            add(f"{name}.weight", np.ascontiguousarray(matrix))
            if "bias" in layer:
                add(f"{name}.bias", np.asarray(layer["bias"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
