"""Checkpoints in the layout of Hugging Face: config.json, safetensors, tokenizer.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gujax._extras import extra
from gujax.models._checkpoint import Names, check_tokenizer, read_params, values_of
from gujax.models._language import LanguageModel, language_model
from gujax.models._language_config import LanguageConfig

_LLAMA = Names(
    outside={"tokens": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"},
    block="model.layers.{}.",
    inside={
        "attention_norm": "input_layernorm",
        "queries": "self_attn.q_proj",
        "keys": "self_attn.k_proj",
        "values": "self_attn.v_proj",
        "attention_out": "self_attn.o_proj",
        "feed_forward_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "expand": "mlp.up_proj",
        "contract": "mlp.down_proj",
    },
    ignored=("rotary_emb.inv_freq",),
)
_GPT2 = Names(
    outside={"tokens": "wte", "positions": "wpe", "norm": "ln_f", "output": "lm_head"},
    block="h.{}.",
    inside={
        "attention_norm": "ln_1",
        "queries_keys_values": "attn.c_attn",
        "attention_out": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "expand": "mlp.c_fc",
        "contract": "mlp.c_proj",
    },
    ignored=(".attn.bias", ".attn.masked_bias"),  # the causal mask
    transposed=False,
)
_NEOX = Names(
    outside={
        "tokens": "gpt_neox.embed_in",
        "norm": "gpt_neox.final_layer_norm",
        "output": "embed_out",
    },
    block="gpt_neox.layers.{}.",
    inside={
        "attention_norm": "input_layernorm",
        "queries_keys_values": "attention.query_key_value",
        "attention_out": "attention.dense",
        "feed_forward_norm": "post_attention_layernorm",
        "expand": "mlp.dense_h_to_4h",
        "contract": "mlp.dense_4h_to_h",
    },
    ignored=(".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"),
)
_NAMES = {"llama": _LLAMA, "qwen2": _LLAMA, "gpt2": _GPT2, "gpt_neox": _NEOX}
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

# What a configuration says of training, of other tasks, or of the library that wrote it. Dropout
# is among it: models here have none.
_OTHER_MATTERS = {
    *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache"),
    *("initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "pretraining_tp"),
    *("attention_dropout", "hidden_dropout", "classifier_dropout", "attn_pdrop", "embd_pdrop"),
    *("resid_pdrop", "_name_or_path", "is_llama_config", "task_specific_params", "n_ctx"),
    *("reorder_and_upcast_attn", "gradient_checkpointing", "transformers.js_config"),
    *("max_window_layers", "use_mrope", "_attn_implementation_autoset", "id2label"),
    *("label2id", "_num_labels"),
}


class _Settings:
    """The entries of a config.json; what nobody asks for must not matter."""

    def __init__(self, content: Mapping[str, Any], source: str):
        self._content, self._source = dict(content), source
        self._asked: set[str] = set()

    def get(self, name: str, *default: Any) -> Any:
        """An entry; null and absent are the default.

        Raises:
            ValueError: if it is missing and has none.
        """
        self._asked.add(name)
        value = self._content.get(name)
        if value is None:
            if not default:
                raise ValueError(f"{self._source} has no entry {name!r}, which the model needs")
            return default[0]
        return value

    def must_be(self, name: str, *values: Any) -> None:
        """Checks an entry that is honoured for some values only; the first is the default."""
        if (found := self.get(name, values[0])) not in values:
            self.refuse(name, found)

    def refuse(self, name: str, value: Any) -> None:
        """Says what is not honoured."""
        raise ValueError(
            f"{self._source}: {name}={value!r} is not supported, and to leave it out would change "
            "what the model computes; choose another model"
        )

    def finish(self) -> None:
        """Checks that nothing is left that could matter."""
        for name, value in self._content.items():
            known = name in self._asked | _OTHER_MATTERS or name.startswith("summary_")
            if not known and value not in (None, False, 0, "", [], {}):
                self.refuse(name, value)


def from_safetensors(folder: str | Path) -> LanguageModel:
    """Read a checkpoint that lies in a folder as Hugging Face's libraries write it.

    Reads ``config.json``, ``model.safetensors`` or the files that ``model.safetensors.index.json``
    names, and ``tokenizer.json`` if it is there. Parameters become float32.

    Args:
        folder: where they lie.

    Returns:
        The model with its parameters and tokenizer.

    Raises:
        ValueError: if a file is missing or broken, the architecture is none of ``"llama"``,
            ``"qwen2"``, ``"gpt2"``, ``"gpt_neox"``, an entry of the configuration is not honoured,
            a tensor is missing, of a wrong shape, of no floating-point type or has no place, or
            the tokenizer does not fit.
        ModuleNotFoundError: if the extra ``lm`` is not installed.
    """
    folder = Path(folder)
    content = _json(folder / "config.json")
    with values_of(str(folder / "config.json")):
        kind, config = _config(content, str(folder / "config.json"))
        names, model = _NAMES[kind], language_model(config)
    with values_of(str(folder)):
        files = _files(folder)
    # Some GPT-2 files have the names of the bare model, some those of the model with its output.
    plain = {name.removeprefix("transformer."): name for name in files}
    ignored = names.ignored
    if config.tied:  # a copy of the embedding
        ignored += (f"{names.outside['output']}.weight",)
    names = Names(names.outside, names.block, names.inside, ignored, names.transposed)

    with extra("lm"):
        from safetensors import SafetensorError, safe_open

    def read(name: str) -> np.ndarray:
        stored = plain[name]
        try:
            with safe_open(files[stored], "np") as opened:
                return _as_float32(opened, stored, files[stored])
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{files[stored]} cannot be read ({error}); get it again") from None

    params = read_params(model, names, read, plain, str(folder))
    output, embedding = (f"{names.outside[name]}.weight" for name in ("output", "tokens"))
    if config.tied and output in plain and not np.array_equal(read(output), read(embedding)):
        raise ValueError(
            f"{folder}: tie_word_embeddings says that {output} is {embedding}, but it is another; "
            "set it to false"
        )
    return LanguageModel(folder.name, config, model, params, _tokenizer(folder, config))


def _as_float32(opened: Any, name: str, file: Path) -> np.ndarray:
    kind = opened.get_slice(name).get_dtype()
    if kind not in _TYPES:
        raise ValueError(
            f"{file}: tensor {name!r} is of type {kind}, which is not supported; save the model in "
            "float32, float16 or bfloat16"
        )
    return np.asarray(opened.get_tensor(name)).astype(np.float32)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}); name a folder with config.json and "
            "model.safetensors, as Hugging Face's libraries write it"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); get it again") from None


def _files(folder: Path) -> dict[str, Path]:
    """The file of every tensor."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        files = {name: folder / file for name, file in _json(index)["weight_map"].items()}
        for file in sorted(set(files.values())):
            if not file.exists():
                raise ValueError(f"{file} is missing, which {index.name} names; get it as well")
        return files
    file = folder / "model.safetensors"
    if not file.exists():
        raise ValueError(
            f"{folder} has no model.safetensors and no {index.name}; save the model as safetensors"
        )
    with extra("lm"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(file, "np") as opened:
            return dict.fromkeys(opened.keys(), file)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} cannot be read ({error}); get it again") from None


def _tokenizer(folder: Path, config: LanguageConfig) -> Any:
    path = folder / "tokenizer.json"
    if not path.exists():
        return None
    with extra("lm"):
        from tokenizers import Tokenizer
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # of no narrower type
        raise ValueError(f"{path} is no tokenizer ({error}); get it again") from None
    check_tokenizer(tokenizer, config.vocabulary, str(path))
    return tokenizer


def _config(content: Mapping[str, Any], source: str) -> tuple[str, LanguageConfig]:
    settings = _Settings(content, source)
    kind = settings.get("model_type")
    if kind not in _NAMES:
        raise ValueError(
            f"{source}: model_type={kind!r} is not supported; choose a model of {', '.join(_NAMES)}"
        )
    settings.must_be("quantization_config", None)
    settings.must_be("auto_map", None)  # code of its own
    for name in ("is_causal", "causal", "use_rope"):
        settings.must_be(name, True)
    settings.must_be("tie_word_embeddings", None, True, False)
    settings.must_be("query_pre_attn_scalar", None)
    config = {"gpt2": _gpt2, "gpt_neox": _neox}.get(kind, _llama)(settings, kind)
    settings.finish()
    return kind, config


def _llama(s: _Settings, kind: str) -> LanguageConfig:
    s.must_be("hidden_act", "silu")
    s.must_be("attention_bias", False)
    s.must_be("mlp_bias", False)
    s.must_be("use_sliding_window", False)
    s.must_be("rope_interleaved", False)
    window = s.get("sliding_window", None)
    if window is not None and (kind == "llama" or s.get("use_sliding_window", True)):
        s.refuse("sliding_window", window)
    for layer in s.get("layer_types", ()):
        if layer != "full_attention":
            s.refuse("layer_types", layer)
    width, heads = s.get("hidden_size"), s.get("num_attention_heads")
    theta, _ = _rope(s, "rope_theta", 10000.0, None, 1.0)
    return LanguageConfig(
        family="llama",
        vocabulary=s.get("vocab_size"),
        context=s.get("max_position_embeddings"),
        width=width,
        layers=s.get("num_hidden_layers"),
        heads=heads,
        key_heads=s.get("num_key_value_heads", heads),
        hidden=s.get("intermediate_size"),
        head_size=s.get("head_dim", width // heads),
        epsilon=s.get("rms_norm_eps", 1e-6),
        rope_theta=theta,
        tied=s.get("tie_word_embeddings", False),
        qkv_bias=kind == "qwen2",
    )


def _gpt2(s: _Settings, kind: str) -> LanguageConfig:
    s.must_be("activation_function", "gelu_new")
    s.must_be("scale_attn_weights", True)
    s.must_be("scale_attn_by_inverse_layer_idx", False)
    s.must_be("add_cross_attention", False)
    width, heads = s.get("n_embd"), s.get("n_head")
    return LanguageConfig(
        family="gpt2",
        vocabulary=s.get("vocab_size"),
        context=s.get("n_positions"),
        width=width,
        layers=s.get("n_layer"),
        heads=heads,
        key_heads=heads,
        hidden=s.get("n_inner", 4 * width),
        head_size=width // heads,
        epsilon=s.get("layer_norm_epsilon", 1e-5),
        tied=s.get("tie_word_embeddings", True),
    )


def _neox(s: _Settings, kind: str) -> LanguageConfig:
    s.must_be("hidden_act", "gelu")
    s.must_be("attention_bias", True)
    s.must_be("is_decoder", False, True)
    width, heads = s.get("hidden_size"), s.get("num_attention_heads")
    theta, share = _rope(s, "rotary_emb_base", 10000.0, "rotary_pct", 0.25)
    return LanguageConfig(
        family="gpt_neox",
        vocabulary=s.get("vocab_size"),
        context=s.get("max_position_embeddings"),
        width=width,
        layers=s.get("num_hidden_layers"),
        heads=heads,
        key_heads=heads,
        hidden=s.get("intermediate_size"),
        head_size=width // heads,
        epsilon=s.get("layer_norm_eps", 1e-5),
        rope_theta=theta,
        rope_share=share,
        tied=s.get("tie_word_embeddings", False),
        parallel=s.get("use_parallel_residual", True),
    )


def _rope(
    s: _Settings, base: str, default: float, share: str | None, default_share: float
) -> tuple[float, float]:
    """Base of the rotary frequencies and rotated share, from entries of either generation."""
    scaling = s.get("rope_scaling", None)
    if scaling is not None and scaling.get("rope_type", scaling.get("type")) != "default":
        s.refuse("rope_scaling", scaling)
    newer = dict(s.get("rope_parameters", {}))
    if newer.pop("rope_type", "default") != "default":
        s.refuse("rope_parameters", s.get("rope_parameters"))
    theta = newer.pop("rope_theta", s.get(base, s.get("rope_theta", default)))
    rotated = newer.pop("partial_rotary_factor", s.get("partial_rotary_factor", None))
    if rotated is None:
        rotated = default_share if share is None else s.get(share, default_share)
    elif share is not None:
        s.get(share, default_share)  # the newer entry stands for it
    if share is None and rotated != 1:
        s.refuse("partial_rotary_factor", rotated)
    if newer:
        s.refuse("rope_parameters", newer)
    return float(theta), float(rotated)
