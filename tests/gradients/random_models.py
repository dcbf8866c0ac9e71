"""A small language of models, and hypothesis strategies that write programs in it.

Every layer maps activations [positions, width] to the same shape, so that all compose. Parameters
live in one pool and are drawn by index, so that they are shared at random; inside of a `Scan`,
`Layer()` is the slice of the stack that belongs to the step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

Params = dict[str, Any]


# Weights: expressions of the pool that give a matrix [width, width].


@dataclass(frozen=True)
class Matrix:
    index: int

    def __call__(self, p, tokens):
        return p["matrices"][self.index % len(p["matrices"])]


@dataclass(frozen=True)
class Layer:
    def __call__(self, p, tokens):
        return p["layer"] if "layer" in p else p["stack"][0]


@dataclass(frozen=True)
class Slice:
    index: int

    def __call__(self, p, tokens):
        return p["stack"][self.index % p["stack"].shape[0]]


@dataclass(frozen=True)
class ChosenByData:
    def __call__(self, p, tokens):
        return p["stack"][tokens[0] % p["stack"].shape[0]]


@dataclass(frozen=True)
class RowsOfTable:
    def __call__(self, p, tokens):
        return p["table"][: p["table"].shape[1]]


@dataclass(frozen=True)
class Outer:
    left: int
    right: int

    def __call__(self, p, tokens):
        vectors = p["vectors"]
        return jnp.outer(vectors[self.left % len(vectors)], vectors[self.right % len(vectors)])


@jax.custom_vjp
def straight_through(w):
    return jnp.sign(w)


straight_through.defvjp(lambda w: (jnp.sign(w), None), lambda _, g: (g,))

VIEWS: dict[str, Callable] = {
    "transposed": jnp.transpose,
    "reversed": lambda w: w[::-1],
    "permuted": lambda w: w[:, np.random.default_rng(0).permutation(w.shape[1])],
    "reshaped": lambda w: jnp.transpose(w.reshape(2, -1, w.shape[1]), (1, 0, 2)).reshape(w.shape),
    "padded": lambda w: jnp.pad(w[1:, 1:], ((1, 0), (0, 1))),
    "rolled": lambda w: jnp.roll(w, 1, 0),
    "halved": lambda w: -0.5 * w,
    "masked": lambda w: w * jnp.tri(len(w), dtype=w.dtype),
    "sine": jnp.sin,
    "sorted": lambda w: jnp.sort(w, 0),
    "cumulative": lambda w: jnp.cumsum(w, 1) / len(w),
    "normalised": lambda w: w / jnp.sqrt(1 + jnp.sum(w**2, 0)),
    "straight_through": straight_through,
    "stopped": jax.lax.stop_gradient,
    "jitted": jax.jit(lambda w: 2 * w.T),
}


@dataclass(frozen=True)
class View:
    name: str
    weight: Any

    def __call__(self, p, tokens):
        return VIEWS[self.name](self.weight(p, tokens))


JOINS: dict[str, Callable] = {
    "sum": lambda a, b: a + b,
    "product": lambda a, b: a @ b / len(a) ** 0.5,
    "joined": lambda a, b: jnp.concatenate([a[: len(a) // 2], b[len(a) // 2 :]]),
    "elementwise": lambda a, b: a * b,
}


@dataclass(frozen=True)
class Join:
    name: str
    left: Any
    right: Any

    def __call__(self, p, tokens):
        return JOINS[self.name](self.left(p, tokens), self.right(p, tokens))


@dataclass(frozen=True)
class ScaledByParameter:
    weight: Any

    def __call__(self, p, tokens):
        return p["scale"] * self.weight(p, tokens)


# Layers without a body.


@dataclass(frozen=True)
class Right:
    weight: Any

    def __call__(self, p, tokens, h):
        return h @ self.weight(p, tokens)


@dataclass(frozen=True)
class Left:
    weight: Any

    def __call__(self, p, tokens, h):
        return jnp.einsum("ij,tj->ti", self.weight(p, tokens), h)


@dataclass(frozen=True)
class Heads:
    """Two heads, each with its own block of the weight: a batched product."""

    weight: Any

    def __call__(self, p, tokens, h):
        half = h.shape[1] // 2
        blocks = self.weight(p, tokens)[:, :half].reshape(2, half, half)
        return jnp.einsum("thk,hkl->thl", h.reshape(-1, 2, half), blocks).reshape(h.shape)


@dataclass(frozen=True)
class Bias:
    index: int

    def __call__(self, p, tokens, h):
        return h + p["vectors"][self.index % len(p["vectors"])]


@dataclass(frozen=True)
class Scale:
    index: int

    def __call__(self, p, tokens, h):
        return h * p["vectors"][self.index % len(p["vectors"])]


@dataclass(frozen=True)
class Attention:
    query: Any
    key: Any
    value: Any

    def __call__(self, p, tokens, h):
        q, k, v = (h @ w(p, tokens) for w in (self.query, self.key, self.value))
        return jax.nn.softmax(q @ k.T / h.shape[1]) @ v


@dataclass(frozen=True)
class Convolution:
    stride: int
    dilation: int

    def __call__(self, p, tokens, h):
        y = jax.lax.conv_general_dilated(
            h[None],
            p["kernel"],
            (self.stride,),
            [(self.dilation, self.dilation)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NHC", "HIO", "NHC"),
        )[0]
        return jnp.repeat(y, self.stride, axis=0)[: h.shape[0]]


@dataclass(frozen=True)
class Lookup:
    mode: str

    def __call__(self, p, tokens, h):
        tokens = tokens[: h.shape[0]] - 2  # some are negative, some beyond the table
        return h + jnp.take(p["table"], tokens, axis=0, mode=self.mode, fill_value=0.25)


@dataclass(frozen=True)
class OneHot:
    def __call__(self, p, tokens, h):
        return h + jax.nn.one_hot(tokens[: h.shape[0]], len(p["table"]), dtype=h.dtype) @ p["table"]


@dataclass(frozen=True)
class Fourier:
    index: int

    def __call__(self, p, tokens, h):
        exact = jnp.promote_types(h.dtype, jnp.float32)  # there is no complex bfloat16
        spectrum = jnp.fft.fft(h.astype(exact))
        vectors = [vector.astype(exact) for vector in p["vectors"]]
        gain = jax.lax.complex(vectors[self.index % len(vectors)], vectors[0])
        return jnp.fft.ifft(spectrum * gain).real.astype(h.dtype)


FUNCTIONS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "softmax": jax.nn.softmax,
    "norm": lambda h: h / jnp.sqrt(0.1 + jnp.mean(h**2, 1, keepdims=True)),
    "flip": lambda h: h[::-1],
    "stopped_half": lambda h: h + jax.lax.stop_gradient(h),
    "gradient_clipped": lambda h: _clipped_backward(h),
}


@jax.custom_vjp
def _clipped_backward(h):
    return h


_clipped_backward.defvjp(lambda h: (h, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))


@dataclass(frozen=True)
class Function:
    name: str

    def __call__(self, p, tokens, h):
        return FUNCTIONS[self.name](h)


# Layers with a body.


@dataclass(frozen=True)
class Sequence:
    layers: tuple

    def __call__(self, p, tokens, h):
        for layer in self.layers:
            h = layer(p, tokens, h)
        return h


@dataclass(frozen=True)
class Residual:
    body: Sequence

    def __call__(self, p, tokens, h):
        return h + jnp.tanh(self.body(p, tokens, h))


@dataclass(frozen=True)
class Twice:
    body: Sequence

    def __call__(self, p, tokens, h):
        return self.body(p, tokens, jnp.tanh(self.body(p, tokens, h)))


@dataclass(frozen=True)
class Jit:
    body: Sequence

    def __call__(self, p, tokens, h):
        return jax.jit(self.body)(p, tokens, h)


POLICIES = {
    "none": None,
    "nothing": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_saveable,
    "everything": jax.checkpoint_policies.everything_saveable,
}


@dataclass(frozen=True)
class Remat:
    policy: str
    body: Sequence

    def __call__(self, p, tokens, h):
        return jax.checkpoint(self.body, policy=POLICIES[self.policy])(p, tokens, h)


@dataclass(frozen=True)
class Scan:
    """Over the stack of layers; `remat` as large models do it."""

    reverse: bool
    unroll: int
    remat: bool
    body: Sequence

    def __call__(self, p, tokens, h):
        def step(h, layer):
            return jnp.tanh(self.body({**p, "layer": layer}, tokens, h)), jnp.sum(h)

        step = jax.checkpoint(step) if self.remat else step
        h, sums = jax.lax.scan(step, h, p["stack"], reverse=self.reverse, unroll=self.unroll)
        return h + 0.1 * jnp.mean(sums)


@dataclass(frozen=True)
class Recurrent:
    """Over the positions."""

    reverse: bool
    body: Sequence

    def __call__(self, p, tokens, h):
        def step(carry, inputs):
            x, token = inputs
            carry = jnp.tanh(self.body(p, token[None], (x + 0.5 * carry)[None])[0])
            return carry, carry

        inputs = (h, tokens[: h.shape[0]])
        return jax.lax.scan(step, jnp.zeros_like(h[0]), inputs, reverse=self.reverse)[1]


@dataclass(frozen=True)
class Repeat:
    """A fori_loop that cycles through the stack by a dynamic index."""

    times: int
    body: Sequence

    def __call__(self, p, tokens, h):
        def step(i, h):
            layer = jax.lax.dynamic_index_in_dim(p["stack"], i % len(p["stack"]), keepdims=False)
            return jnp.tanh(self.body({**p, "layer": layer}, tokens, h))

        return jax.lax.fori_loop(0, self.times, step, h)


@dataclass(frozen=True)
class Cond:
    on: str
    yes: Sequence
    no: Sequence

    def __call__(self, p, tokens, h):
        predicate = {
            "data": tokens[0] % 2 == 0,
            "activations": jnp.sum(h) > 0,
            "parameter": p["scale"] > 1,
            "constant": jnp.array(True),
        }[self.on]
        return jax.lax.cond(predicate, self.yes, self.no, p, tokens, h)


@dataclass(frozen=True)
class Switch:
    branches: tuple

    def __call__(self, p, tokens, h):
        return jax.lax.switch(tokens[0] % len(self.branches), self.branches, p, tokens, h)


@dataclass(frozen=True)
class Where:
    yes: Sequence
    no: Sequence

    def __call__(self, p, tokens, h):
        return jnp.where(h > 0, self.yes(p, tokens, h), self.no(p, tokens, h))


@dataclass(frozen=True)
class OverPositions:
    """vmap of a sub-model."""

    body: Sequence

    def __call__(self, p, tokens, h):
        one = lambda token, x: self.body(p, token[None], x[None])[0]  # noqa: E731
        return jax.vmap(one)(tokens[: h.shape[0]], h)


@dataclass(frozen=True)
class OverStack:
    """vmap over an ensemble of weights."""

    body: Sequence

    def __call__(self, p, tokens, h):
        member = lambda layer: self.body({**p, "layer": layer}, tokens, h)  # noqa: E731
        return jax.vmap(member)(p["stack"]).mean(0)


@dataclass(frozen=True)
class CustomVjp:
    """Scales the gradient of the parameters by 0.5, and that of the activations by -2."""

    body: Sequence

    def __call__(self, p, tokens, h):
        function = jax.custom_vjp(self.body)

        def forward(p, tokens, h):
            return self.body(p, tokens, h), (p, tokens, h)

        def backward(saved, cotangent):
            p, tokens, h = saved
            _, pullback = jax.vjp(lambda p, h: self.body(p, tokens, h), p, h)
            dp, dh = pullback(cotangent)
            return jax.tree.map(lambda g: 0.5 * g, dp), None, -2 * dh

        function.defvjp(forward, backward)
        return function(p, tokens, h)


@dataclass(frozen=True)
class CustomJvp:
    """Scales the derivative by 0.5. Its body has no custom_vjp, which JAX refuses there."""

    layer: Any

    def __call__(self, p, tokens, h):
        function = jax.custom_jvp(self.layer)

        @function.defjvp
        def rule(primals, tangents):
            (p, tokens, h), (dp, _, dh) = primals, tangents
            out, tangent = jax.jvp(lambda p, h: self.layer(p, tokens, h), (p, h), (dp, dh))
            return out, 0.5 * tangent

        return function(p, tokens, h)


@dataclass(frozen=True)
class InPrecision:
    dtype: str
    body: Sequence

    def __call__(self, p, tokens, h):
        cast = lambda x: x.astype(self.dtype)  # noqa: E731
        return self.body(jax.tree.map(cast, p), tokens, cast(h)).astype(h.dtype)


@dataclass(frozen=True)
class Model:
    """A whole model: loss, parameters and a batch are functions of these fields alone."""

    positions: int
    width: int
    stack: int
    matrices: int
    vectors: int
    vocabulary: int
    head: str
    penalty: bool
    body: Sequence

    def loss(self, p, example):
        tokens, h = example["tokens"], example["x"]
        h = self.body(p, tokens, h)
        if self.head == "tied":
            logits = h @ p["table"].T
            labels = jnp.take_along_axis(logits, tokens[:, None] % self.vocabulary, 1)[:, 0]
            loss = jnp.mean(jax.nn.logsumexp(logits, axis=1) - labels)
        else:
            loss = jnp.mean(jnp.sin(h) * example["x"])
        if self.penalty:
            loss = loss + 0.01 * sum(jnp.sum(w**2) for w in jax.tree.leaves(p))
        return loss

    def params(self, dtype=np.float64) -> Params:
        rng = np.random.default_rng(0)

        def draw(*shape):
            return jnp.asarray(rng.normal(size=shape) / np.sqrt(self.width), dtype)

        d = self.width
        return {
            "matrices": tuple(draw(d, d) for _ in range(self.matrices)),
            "vectors": tuple(1 + draw(d) for _ in range(self.vectors)),
            "stack": draw(self.stack, d, d),
            "table": draw(self.vocabulary, d),
            "kernel": draw(3, d, d),
            "scale": jnp.asarray(1.1, dtype),
        }

    def batch(self, size, seed, dtype=np.float64):
        rng = np.random.default_rng(seed)
        tokens = rng.integers(0, self.vocabulary + 3, size=(size, self.positions))
        x = rng.normal(size=(size, self.positions, self.width))
        return {"tokens": jnp.asarray(tokens), "x": jnp.asarray(x, dtype)}


# Strategies.


def weights() -> st.SearchStrategy:
    index = st.integers(0, 2)
    plain = st.one_of(
        st.builds(Matrix, index),
        st.just(Layer()),
        st.builds(Slice, index),
        st.just(ChosenByData()),
        st.just(RowsOfTable()),
        st.builds(Outer, index, index),
    )
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.builds(View, st.sampled_from(list(VIEWS)), inner),
            st.builds(Join, st.sampled_from(list(JOINS)), inner, inner),
            st.builds(ScaledByParameter, inner),
        ),
        max_leaves=3,
    )


def simple_layers() -> st.SearchStrategy:
    index = st.integers(0, 2)
    return st.one_of(
        st.builds(Right, weights()),
        st.builds(Left, weights()),
        st.builds(Heads, weights()),
        st.builds(Attention, weights(), weights(), weights()),
        st.builds(Convolution, st.integers(1, 2), st.integers(1, 2)),
        st.builds(Lookup, st.sampled_from(["clip", "wrap", "fill"])),
        st.just(OneHot()),
        st.builds(Bias, index),
        st.builds(Scale, index),
        st.builds(Fourier, index),
        st.builds(Function, st.sampled_from(list(FUNCTIONS))),
    )


def differentiable_forward(layer: Any) -> bool:
    return "straight_through" not in repr(layer) and "gradient_clipped" not in repr(layer)


def saved_by_jax(layer: Remat) -> bool:
    """jax.checkpoint cannot save complex values: `jax.grad` alone raises a TypeError."""
    return layer.policy != "everything" or "Fourier" not in repr(layer)


def bodies(depth: int, precisions: tuple[str, ...]) -> st.SearchStrategy:
    layer = st.one_of(simple_layers(), compound_layers(depth, precisions)) if depth else None
    layer = simple_layers() if layer is None else layer
    return st.builds(Sequence, st.lists(layer, min_size=1, max_size=3).map(tuple))


def compound_layers(depth: int, precisions: tuple[str, ...]) -> st.SearchStrategy:
    body = bodies(depth - 1, precisions)
    kinds = [
        st.builds(Residual, body),
        st.builds(Twice, body),
        st.builds(Jit, body),
        st.builds(Remat, st.sampled_from(list(POLICIES)), body).filter(saved_by_jax),
        st.builds(Scan, st.booleans(), st.integers(1, 2), st.booleans(), body),
        st.builds(Recurrent, st.booleans(), body),
        st.builds(Repeat, st.integers(1, 3), body),
        st.builds(
            Cond, st.sampled_from(["data", "activations", "parameter", "constant"]), body, body
        ),
        st.builds(Switch, st.lists(body, min_size=2, max_size=3).map(tuple)),
        st.builds(Where, body, body),
        st.builds(OverPositions, body),
        st.builds(OverStack, body),
        st.builds(CustomVjp, body),
        st.builds(CustomJvp, simple_layers().filter(differentiable_forward)),
    ]
    if precisions:
        kinds.append(st.builds(InPrecision, st.sampled_from(precisions), body))
    return st.one_of(kinds)


def models(depth: int = 2, precisions: tuple[str, ...] = ()) -> st.SearchStrategy[Model]:
    """Models with control flow nested to `depth`; `precisions` that parts may be computed in."""
    return st.builds(
        Model,
        positions=st.sampled_from([1, 2, 3, 9]),
        width=st.sampled_from([2, 4, 12]),
        stack=st.integers(1, 3),
        matrices=st.integers(1, 3),
        vectors=st.integers(1, 2),
        vocabulary=st.sampled_from([12, 13]),
        head=st.sampled_from(["tied", "sum"]),
        penalty=st.booleans(),
        body=bodies(depth, precisions),
    )
