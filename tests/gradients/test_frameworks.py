"""Official layers of four libraries, unmodified: exact in float64, in the library's own pytrees.

Each builder returns a loss, the parameters in the library's own container and a batch. Sizes are
such that every model has parameters of more than 10,000 elements: for those, `explain` must show
that the factors were found.
"""

from functools import partial

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from gujax import gradients
from tests.gradients.checks import assert_exact, compiled

BATCH = 4
DOUBLE = {"dtype": jnp.float64, "param_dtype": jnp.float64}
BUILDERS = {}


def model(build):
    BUILDERS[build.__name__] = build
    return build


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def integers(seed, high, *shape):
    return jnp.asarray(np.random.default_rng(seed).integers(0, high, size=shape))


def cross_entropy(logits, label):
    return jax.nn.logsumexp(logits) - logits[label]


def next_token_loss(logits, tokens):
    picked = jnp.take_along_axis(logits, tokens[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


# Flax NNX: `nnx.split` and `nnx.merge`, gradients in an `nnx.State`.


def nnx_case(make, forward, batch):
    """`make()` -> network, `forward(network, example)` -> loss."""
    definition, *_ = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
    params, rest = compiled(lambda: nnx.split(make(), nnx.Param, ...)[1:])

    def loss(params, example):
        return forward(nnx.merge(definition, params, rest, copy=True), example)

    return loss, params, batch


class NnxMLP(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(64, 160, rngs=rngs, **DOUBLE)
        self.norm = nnx.LayerNorm(160, rngs=rngs, **DOUBLE)
        self.second = nnx.Linear(160, 100, use_bias=False, rngs=rngs, **DOUBLE)
        self.out = nnx.Linear(100, 10, rngs=rngs, **DOUBLE)

    def __call__(self, x):
        return self.out(nnx.relu(self.second(nnx.gelu(self.norm(self.first(x))))))


@model
def nnx_mlp():
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    return nnx_case(
        lambda: NnxMLP(nnx.Rngs(0)), forward, (normal(0, BATCH, 64), integers(0, 10, BATCH))
    )


class NnxCNN(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(1, 16, (3, 3), rngs=rngs, **DOUBLE)
        self.second = nnx.Conv(16, 96, (3, 3), strides=2, padding="VALID", rngs=rngs, **DOUBLE)
        self.norm = nnx.GroupNorm(96, num_groups=8, rngs=rngs, **DOUBLE)
        self.depthwise = nnx.Conv(96, 96, (3, 3), feature_group_count=96, rngs=rngs, **DOUBLE)
        self.up = nnx.ConvTranspose(96, 4, (2, 2), strides=2, rngs=rngs, **DOUBLE)
        self.out = nnx.Linear(2 * 2 * 4, 10, rngs=rngs, **DOUBLE)

    def __call__(self, x):
        x = nnx.avg_pool(nnx.relu(self.first(x)), (2, 2), strides=(2, 2))
        x = nnx.relu(self.norm(self.second(x)))
        x = nnx.max_pool(self.up(self.depthwise(x)), (2, 2), strides=(2, 2))
        return self.out(x.reshape(*x.shape[:-3], -1))


@model
def nnx_cnn():
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    batch = (normal(1, BATCH, 10, 10, 1), integers(1, 10, BATCH))
    return nnx_case(lambda: NnxCNN(nnx.Rngs(1)), forward, batch)


class NnxLSTM(nnx.Module):
    def __init__(self, rngs):
        cell = nnx.OptimizedLSTMCell(8, 56, rngs=rngs, **DOUBLE)
        self.layer = nnx.RNN(cell)
        self.plain = nnx.RNN(nnx.LSTMCell(56, 8, rngs=rngs, **DOUBLE), reverse=True)
        self.gru = nnx.RNN(nnx.GRUCell(8, 8, rngs=rngs, **DOUBLE))
        self.out = nnx.Linear(8, 4, rngs=rngs, **DOUBLE)

    def __call__(self, x):
        return self.out(self.gru(self.plain(self.layer(x[None])))[0, -1])


@model
def nnx_lstm():
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    batch = (normal(2, BATCH, 5, 8), integers(2, 4, BATCH))
    return nnx_case(lambda: NnxLSTM(nnx.Rngs(2)), forward, batch)


class NnxTransformer(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(300, 48, rngs=rngs, **DOUBLE)
        self.norm = nnx.LayerNorm(48, rngs=rngs, **DOUBLE)
        self.attention = nnx.MultiHeadAttention(
            num_heads=4, in_features=48, qkv_features=240, decode=False, rngs=rngs, **DOUBLE
        )
        self.rms = nnx.RMSNorm(48, rngs=rngs, **DOUBLE)
        self.einsum = nnx.Einsum("td,dhk->thk", (48, 2, 24), (2, 24), rngs=rngs, **DOUBLE)
        self.general = nnx.LinearGeneral((2, 24), 48, axis=(-2, -1), rngs=rngs, **DOUBLE)
        self.low_rank = nnx.LoRA(48, 4, 48, rngs=rngs, **DOUBLE)

    def __call__(self, tokens):
        x = self.embed(tokens)
        x = x + self.attention(self.norm(x), mask=nnx.make_causal_mask(tokens))
        x = x + self.general(nnx.silu(self.einsum(self.rms(x))))
        return self.embed.attend(x + self.low_rank(x))


@model
def nnx_attention():
    forward = lambda network, tokens: next_token_loss(network(tokens[:-1]), tokens[1:])  # noqa: E731
    return nnx_case(lambda: NnxTransformer(nnx.Rngs(3)), forward, integers(3, 300, BATCH, 6))


class NnxBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(32, rngs=rngs, **DOUBLE)
        self.attention = nnx.MultiHeadAttention(
            num_heads=2, in_features=32, decode=False, rngs=rngs, **DOUBLE
        )
        self.up = nnx.Linear(32, 128, rngs=rngs, **DOUBLE)
        self.down = nnx.Linear(128, 32, rngs=rngs, **DOUBLE)

    def __call__(self, x):
        mask = nnx.make_causal_mask(jnp.ones(x.shape[:-1]))
        x = x + self.attention(self.norm(x), mask=mask)
        return x + self.down(nnx.gelu(self.up(x)))


class NnxGPT(nnx.Module):
    """Blocks stacked by nnx.vmap, run by nnx.scan over nnx.remat."""

    def __init__(self, layers, rngs):
        @nnx.split_rngs(splits=layers)
        @nnx.vmap(in_axes=(0,), out_axes=0)
        def stack(rngs):
            return NnxBlock(rngs)

        self.embed = nnx.Embed(320, 32, rngs=rngs, **DOUBLE)
        self.positions = nnx.Embed(5, 32, rngs=rngs, **DOUBLE)
        self.blocks = stack(rngs)

    def __call__(self, tokens):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        @nnx.remat
        def run(x, block):
            return block(x)

        x = self.embed(tokens) + self.positions(jnp.arange(tokens.shape[0]))
        return self.embed.attend(run(x, self.blocks))


@model
def nnx_gpt_scan_remat():
    forward = lambda network, tokens: next_token_loss(network(tokens[:-1]), tokens[1:])  # noqa: E731
    return nnx_case(lambda: NnxGPT(3, nnx.Rngs(4)), forward, integers(4, 320, BATCH, 6))


# Flax Linen: a dict of parameters.


def linen_case(module, forward, batch):
    """`forward(apply, example)` -> loss, where `apply` is the module with its parameters."""
    example = jax.tree.map(lambda x: x[0], batch)
    first = example[0] if isinstance(example, tuple) else example[:-1]
    variables = compiled(module.init, jax.random.key(0), first)
    loss = lambda variables, e: forward(partial(module.apply, variables), e)  # noqa: E731
    return loss, variables, batch


class LinenCNN(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(12, (3, 3), **DOUBLE)(x))
        x = linen.max_pool(x, (2, 2), strides=(2, 2))
        x = linen.relu(linen.Conv(96, (3, 3), kernel_dilation=2, **DOUBLE)(x))
        return linen.Dense(10, **DOUBLE)(x.mean((-3, -2)))


@model
def linen_cnn():
    forward = lambda apply, e: cross_entropy(apply(e[0]), e[1])  # noqa: E731
    return linen_case(LinenCNN(), forward, (normal(5, BATCH, 8, 8, 1), integers(5, 10, BATCH)))


class LinenResidualBlock(linen.Module):
    width: int
    strides: int = 1

    @linen.compact
    def __call__(self, x):
        conv = partial(linen.Conv, use_bias=False, **DOUBLE)
        norm = partial(linen.GroupNorm, num_groups=4, **DOUBLE)
        h = linen.relu(norm()(conv(self.width, (3, 3), strides=self.strides)(x)))
        h = norm(scale_init=linen.initializers.ones)(conv(self.width, (3, 3))(h))
        if x.shape != h.shape:
            x = norm()(conv(self.width, (1, 1), strides=self.strides)(x))
        return linen.relu(h + x)


class LinenResNet(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Conv(8, (3, 3), **DOUBLE)(x)
        for width, strides in [(8, 1), (36, 2)]:
            x = LinenResidualBlock(width, strides)(x)
        return linen.Dense(10, **DOUBLE)(x.mean((-3, -2)))


@model
def linen_resnet():
    forward = lambda apply, e: cross_entropy(apply(e[0]), e[1])  # noqa: E731
    return linen_case(LinenResNet(), forward, (normal(6, BATCH, 8, 8, 3), integers(6, 10, BATCH)))


class LinenBlock(linen.Module):
    @linen.compact
    def __call__(self, x, mask):
        h = linen.LayerNorm(**DOUBLE)(x)
        x = x + linen.MultiHeadDotProductAttention(num_heads=2, **DOUBLE)(h, h, mask=mask)
        h = linen.Dense(128, **DOUBLE)(linen.RMSNorm(**DOUBLE)(x))
        return x + linen.Dense(32, **DOUBLE)(linen.gelu(h)), None


class LinenGPT(linen.Module):
    layers: int
    policy: object = None

    @linen.compact
    def __call__(self, tokens):
        embed = linen.Embed(320, 32, **DOUBLE)
        x = embed(tokens) + linen.Embed(5, 32, **DOUBLE)(jnp.arange(tokens.shape[-1]))
        block = linen.remat(LinenBlock, prevent_cse=False, policy=self.policy)
        stack = linen.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=linen.broadcast,
            length=self.layers,
        )
        x, _ = stack()(x, linen.make_causal_mask(tokens))
        return embed.attend(linen.LayerNorm(**DOUBLE)(x))


@model
def linen_gpt_scan_remat():
    forward = lambda apply, t: next_token_loss(apply(t[:-1]), t[1:])  # noqa: E731
    return linen_case(LinenGPT(3), forward, integers(7, 320, BATCH, 6))


@model
def linen_gpt_scan_remat_dots_saved():
    forward = lambda apply, t: next_token_loss(apply(t[:-1]), t[1:])  # noqa: E731
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return linen_case(LinenGPT(2, policy), forward, integers(8, 320, BATCH, 6))


class LinenRecurrent(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.RNN(linen.OptimizedLSTMCell(104, **DOUBLE))(x)
        return linen.Dense(4, **DOUBLE)(linen.RNN(linen.GRUCell(6, **DOUBLE))(x)[-1])


@model
def linen_recurrent():
    forward = lambda apply, e: cross_entropy(apply(e[0]), e[1])  # noqa: E731
    return linen_case(LinenRecurrent(), forward, (normal(9, BATCH, 5, 8), integers(9, 4, BATCH)))


# Equinox: the module itself is the pytree; what is no array is partitioned off.


def equinox_case(make, forward, batch):
    """`make()` -> network, `forward(network, example)` -> loss."""
    arrays = compiled(lambda: eqx.filter(make(), eqx.is_array))
    network = eqx.combine(arrays, eqx.filter_eval_shape(make))
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def loss(params, example):
        return forward(eqx.combine(params, static), example)

    return loss, params, batch


def keys(seed, count):
    return jax.random.split(jax.random.key(seed), count)


@model
def equinox_mlp():
    make = lambda: eqx.nn.MLP(20, 5, 104, 3, key=jax.random.key(0), dtype=jnp.float64)  # noqa: E731
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    return equinox_case(make, forward, (normal(10, BATCH, 20), integers(10, 5, BATCH)))


class EquinoxCNN(eqx.Module):
    layers: list

    def __init__(self, key):
        k = iter(jax.random.split(key, 8))
        double = {"dtype": jnp.float64}
        self.layers = [
            eqx.nn.Conv2d(2, 12, 3, padding=1, key=next(k), **double),
            jax.nn.relu,
            eqx.nn.GroupNorm(3, 12, **double),
            eqx.nn.Conv2d(12, 96, 3, stride=2, key=next(k), **double),
            eqx.nn.PReLU(0.1),
            eqx.nn.Conv2d(96, 8, 3, padding=1, groups=4, use_bias=False, key=next(k), **double),
            eqx.nn.ConvTranspose2d(8, 4, 3, stride=2, key=next(k), **double),
            eqx.nn.AdaptiveAvgPool2d(2),
            jnp.ravel,
            eqx.nn.Linear(16, 10, key=next(k), **double),
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@model
def equinox_cnn():
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    batch = (normal(11, BATCH, 2, 8, 8), integers(11, 10, BATCH))
    return equinox_case(lambda: EquinoxCNN(jax.random.key(1)), forward, batch)


class EquinoxTransformer(eqx.Module):
    embed: eqx.nn.Embedding
    rotary: eqx.nn.RotaryPositionalEmbedding
    attention: eqx.nn.MultiheadAttention
    norm: eqx.nn.LayerNorm
    rms: eqx.nn.RMSNorm
    mlp: eqx.nn.MLP
    spectral: eqx.nn.WeightNorm

    def __init__(self, key):
        k = iter(jax.random.split(key, 8))
        double = {"dtype": jnp.float64}
        self.embed = eqx.nn.Embedding(300, 40, key=next(k), **double)
        self.rotary = eqx.nn.RotaryPositionalEmbedding(40, dtype=jnp.float64)
        self.attention = eqx.nn.MultiheadAttention(
            4, 40, qk_size=64, vo_size=64, use_query_bias=True, key=next(k), **double
        )
        self.norm = eqx.nn.LayerNorm(40, **double)
        self.rms = eqx.nn.RMSNorm(40, **double)
        self.mlp = eqx.nn.MLP(40, 40, 260, 1, activation=jax.nn.gelu, key=next(k), **double)
        self.spectral = eqx.nn.WeightNorm(eqx.nn.Linear(40, 40, key=next(k), **double))

    def __call__(self, tokens):
        x = self.rotary(jax.vmap(self.embed)(tokens))
        h = jax.vmap(self.norm)(x)
        x = x + self.attention(h, h, h, mask=jnp.tri(len(tokens), dtype=bool))
        x = jax.vmap(self.spectral)(x + jax.vmap(self.mlp)(jax.vmap(self.rms)(x)))
        return x @ self.embed.weight.T


@model
def equinox_attention():
    forward = lambda network, t: next_token_loss(network(t[:-1]), t[1:])  # noqa: E731
    return equinox_case(
        lambda: EquinoxTransformer(jax.random.key(2)), forward, integers(12, 300, BATCH, 6)
    )


class EquinoxRecurrent(eqx.Module):
    gru: eqx.nn.GRUCell
    lstm: eqx.nn.LSTMCell
    out: eqx.nn.Linear

    def __init__(self, key):
        k = jax.random.split(key, 3)
        self.gru = eqx.nn.GRUCell(8, 60, key=k[0], dtype=jnp.float64)
        self.lstm = eqx.nn.LSTMCell(60, 8, key=k[1], dtype=jnp.float64)
        self.out = eqx.nn.Linear(8, 4, key=k[2], dtype=jnp.float64)

    def __call__(self, xs):
        def step(carry, x):
            h, state = carry
            h = self.gru(x, h)
            return (h, self.lstm(h, state)), None

        (_, (h, _)), _ = jax.lax.scan(step, (jnp.zeros(60), (jnp.zeros(8), jnp.zeros(8))), xs)
        return self.out(h)


@model
def equinox_recurrent():
    forward = lambda network, e: cross_entropy(network(e[0]), e[1])  # noqa: E731
    batch = (normal(13, BATCH, 5, 8), integers(13, 4, BATCH))
    return equinox_case(lambda: EquinoxRecurrent(jax.random.key(3)), forward, batch)


@model
def equinox_checkpointed_stack():
    """Layers stacked by filter_vmap, run by scan over filter_checkpoint, as the manual shows."""
    make = eqx.filter_vmap(lambda key: eqx.nn.Linear(64, 64, key=key, dtype=jnp.float64))

    def forward(stack, x):
        dynamic, static = eqx.partition(stack, eqx.is_array)

        @eqx.filter_checkpoint
        def layer(x, params):
            return x + jnp.tanh(eqx.combine(params, static)(x)), None

        return jnp.sum(jax.lax.scan(layer, x, dynamic)[0] ** 2)

    return equinox_case(lambda: make(keys(4, 3)), forward, normal(14, BATCH, 64))


# Haiku: a transformed function and a dict of dicts.


def haiku_case(forward, batch):
    """`forward(example)` -> loss, called inside of hk.transform."""
    transformed = hk.without_apply_rng(hk.transform(forward))
    params = compiled(transformed.init, jax.random.key(0), jax.tree.map(lambda x: x[0], batch))
    # hk.Embed makes float32 of integer tokens: exactness is judged in float64.
    return transformed.apply, jax.tree.map(jnp.float64, params), batch


@model
def haiku_cnn():
    def forward(example):
        x, y = example
        x = jax.nn.relu(hk.Conv2D(12, 3)(x))
        x = hk.MaxPool(2, 2, "SAME", channel_axis=-1)(x)
        x = jax.nn.relu(hk.Conv2D(96, 3, stride=2)(x))
        x = hk.Conv2DTranspose(4, 3)(hk.DepthwiseConv2D(1, 3)(x[None])[0])
        return cross_entropy(hk.nets.MLP([32, 10])(x.reshape(-1)), y)

    return haiku_case(forward, (normal(15, BATCH, 8, 8, 1), integers(15, 10, BATCH)))


@model
def haiku_resnet():
    def block(x, width, stride):
        conv = partial(hk.Conv2D, with_bias=False)
        h = jax.nn.relu(hk.GroupNorm(4)(conv(width, 3, stride)(x)[None])[0])
        h = hk.GroupNorm(4)(conv(width, 3)(h)[None])[0]
        if x.shape != h.shape:
            x = hk.GroupNorm(4)(conv(width, 1, stride)(x)[None])[0]
        return jax.nn.relu(h + x)

    def forward(example):
        x, y = example
        x = hk.Conv2D(8, 3)(x)
        for width, stride in [(8, 1), (36, 2)]:
            x = block(x, width, stride)
        return cross_entropy(hk.Linear(10)(x.mean((0, 1))), y)

    return haiku_case(forward, (normal(16, BATCH, 8, 8, 3), integers(16, 10, BATCH)))


@model
def haiku_attention():
    def forward(tokens):
        embed = hk.Embed(320, 36)
        x = embed(tokens[:-1])
        h = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
        mask = jnp.tri(len(tokens) - 1)[None]
        attention = hk.MultiHeadAttention(4, 72, w_init_scale=1.0, model_size=36)
        x = x + attention(h, h, h, mask=mask)
        x = x + hk.nets.MLP([150, 36], activation=jax.nn.gelu)(hk.RMSNorm(-1)(x))
        return next_token_loss(x @ embed.embeddings.T, tokens[1:])

    return haiku_case(forward, integers(17, 320, BATCH, 6))


@model
def haiku_recurrent():
    def forward(example):
        x, y = example
        lstm, gru = hk.LSTM(52), hk.GRU(6)
        x, _ = hk.dynamic_unroll(lstm, x, lstm.initial_state(None))
        x, _ = hk.dynamic_unroll(gru, x, gru.initial_state(None))
        return cross_entropy(hk.Linear(4)(x[-1]), y)

    return haiku_case(forward, (normal(18, BATCH, 5, 8), integers(18, 4, BATCH)))


@model
def haiku_layer_stack():
    def forward(x):
        stack = hk.layer_stack(3)(lambda x: x + jnp.tanh(hk.remat(hk.Linear(64))(x)))
        return jnp.sum(stack(x) ** 2)

    return haiku_case(forward, normal(19, BATCH, 64))


# Of layers that several libraries have alike, the quickest are compared every time.
REPEATED = (
    *("nnx_gpt_scan_remat", "linen_gpt_scan_remat_dots_saved", "haiku_attention", "haiku_cnn"),
    *("haiku_resnet", "haiku_recurrent", "equinox_cnn", "equinox_recurrent"),
    *("equinox_attention", "linen_recurrent"),
)
CASES = [pytest.param(n, marks=pytest.mark.long) if n in REPEATED else n for n in BUILDERS]


@pytest.mark.parametrize("name", CASES)
def test_official_layers_are_exact(name):
    loss, params, batch = BUILDERS[name]()
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float64)}
    others = jax.tree.map(lambda x: jnp.roll(x[1:], 1, axis=-1), batch)
    assert_exact(loss, params, batch, others, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_large_parameters_of_official_layers_need_no_fallback(name):
    loss, params, batch = BUILDERS[name]()
    example = jax.tree.map(lambda x: x[0], batch)
    report = gradients.explain(loss, params, example, batch_size=32)
    large = {
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree.leaves_with_path(params)
        if leaf.size > 10_000
    }
    assert large, "the model is too small for this test"
    reports = {p.name: p for p in report.parameters if p.name in large}
    assert set(reports) == large
    assert all(p.sites > 0 and not p.reason for p in reports.values()), f"\n{report}"


def test_gradients_of_nnx_update_an_nnx_model():
    loss, params, batch = nnx_mlp()
    grads = gradients.per_example_grads(loss)(params, batch)
    total = gradients.weighted_sum(grads, jnp.full(BATCH, -0.1))
    assert isinstance(total, nnx.State)
    stepped = jax.tree.map(jnp.add, params, total)
    before = sum(loss(params, jax.tree.map(lambda x, i=i: x[i], batch)) for i in range(BATCH))
    after = sum(loss(stepped, jax.tree.map(lambda x, i=i: x[i], batch)) for i in range(BATCH))
    assert after < before


def test_gradients_of_equinox_update_an_equinox_model():
    loss, params, batch = equinox_mlp()
    grads = gradients.per_example_grads(loss)(params, batch)
    total = gradients.weighted_sum(grads, jnp.full(BATCH, -0.1))
    assert isinstance(total, eqx.nn.MLP)
    stepped = eqx.apply_updates(params, total)
    assert jax.tree.structure(stepped) == jax.tree.structure(params)
