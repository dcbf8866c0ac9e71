"""jit, remat, scan, cond, switch, loops, vmap, and derivatives taken inside of the loss."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from tests.gradients.zoo.case import BATCH, Case, case, squared


@case
def nested_jit(draw):
    @jax.jit
    def inner(w, h):
        return jnp.tanh(h @ w)

    @jax.jit
    def outer(p, x):
        return inner(p["w2"], inner(p["w1"], x)) + p["b"]

    def loss(p, x):
        return squared(outer(p, x))

    params = {"w1": draw(5, 6), "w2": draw(6, 4), "b": draw(4)}
    return Case(loss, params, draw(BATCH, 2, 5))


@case
def jit_that_returns_parameters(draw):
    @jax.jit
    def prepare(p):
        return {"w": p["w"].T, "b": p["b"], "norm": jnp.sum(p["w"] ** 2)}

    def loss(p, x):
        p = prepare(p)
        return squared(p["w"] @ x + p["b"]) + 0.1 * p["norm"]

    return Case(loss, {"w": draw(5, 6), "b": draw(6)}, draw(BATCH, 5))


@case
def one_jit_called_twice(draw):
    block = jax.jit(lambda w, h: jnp.tanh(h @ w))

    def loss(p, x):
        return squared(block(p["a"], block(p["b"], block(p["a"], x))))

    return Case(loss, {"a": draw(5, 5), "b": draw(5, 5)}, draw(BATCH, 5))


POLICIES = jax.checkpoint_policies


def _remat(name, policy, **options):
    def build(draw):
        @partial(jax.checkpoint, policy=policy, **options)
        def block(p, h):
            h = checkpoint_name(jnp.tanh(h @ p["w"]), "hidden")
            return h + jnp.sin(h @ p["v"] + p["b"])

        def loss(p, x):
            for q in p["blocks"]:
                x = block(q, x)
            return squared(x @ p["out"])

        blocks = [{"w": draw(5, 5), "v": draw(5, 5), "b": draw(5)} for _ in range(2)]
        return Case(loss, {"blocks": blocks, "out": draw(5, 2)}, draw(BATCH, 3, 5))

    build.__name__ = f"remat_{name}"
    case(build)


_remat("plain", None)
_remat("without_cse_barrier", None, prevent_cse=False)
_remat("nothing_saved", POLICIES.nothing_saveable)
_remat("everything_saved", POLICIES.everything_saveable)
_remat("dots_saved", POLICIES.dots_saveable)
_remat("dots_without_batch_saved", POLICIES.dots_with_no_batch_dims_saveable)
_remat("names_saved", POLICIES.save_only_these_names("hidden"))


@case
def remat_inside_remat(draw):
    def loss(p, x):
        inner = jax.checkpoint(lambda w, h: jnp.tanh(h @ w))
        outer = jax.checkpoint(lambda p, h: inner(p["b"], inner(p["a"], h)))
        return squared(jax.checkpoint(lambda p, h: outer(p, outer(p, h)))(p, x))

    return Case(loss, {"a": draw(5, 5), "b": draw(5, 5)}, draw(BATCH, 5))


def _recurrent(name, wrap=lambda f: f, width=6, steps=4, **options):
    def build(draw):
        def loss(p, xs):
            @wrap
            def step(h, x):
                h = jnp.tanh(x @ p["w"] + h @ p["u"] + p["b"])
                return h, h

            last, states = jax.lax.scan(step, jnp.zeros(width), xs, **options)
            return squared(last @ p["out"]) + jnp.mean(states**2)

        params = {"w": draw(5, width), "u": draw(width, width), "b": draw(width)}
        return Case(loss, params | {"out": draw(width, 2)}, draw(BATCH, steps, 5))

    build.__name__ = name
    case(build)


_recurrent("recurrent_scan")
_recurrent("recurrent_scan_wide", width=20, steps=2)
_recurrent("recurrent_scan_long", width=2, steps=20)
_recurrent("recurrent_scan_reversed", reverse=True)
_recurrent("recurrent_scan_unrolled", unroll=2)
_recurrent("recurrent_scan_of_one_step", steps=1)
_recurrent("recurrent_scan_remat", wrap=jax.checkpoint)
_recurrent(
    "recurrent_scan_remat_dots_saved",
    wrap=partial(jax.checkpoint, policy=POLICIES.dots_saveable, prevent_cse=False),
)
_recurrent("recurrent_scan_jit", wrap=jax.jit)


@case
def gated_recurrent_scan(draw):
    def loss(p, xs):
        def step(h, x):
            reset, update = jnp.split(jax.nn.sigmoid(x @ p["xg"] + h @ p["hg"]), 2)
            candidate = jnp.tanh(x @ p["xc"] + (reset * h) @ p["hc"])
            return update * h + (1 - update) * candidate, None

        return squared(jax.lax.scan(step, p["initial"], xs)[0])

    params = {"xg": draw(3, 10), "hg": draw(5, 10), "xc": draw(3, 5), "hc": draw(5, 5)}
    return Case(loss, params | {"initial": draw(5)}, draw(BATCH, 4, 3))


@case
def embedding_inside_a_scan(draw):
    def loss(p, tokens):
        def step(h, token):
            h = jnp.tanh(p["table"][token] + h @ p["u"])
            logits = h @ p["table"].T
            return h, jax.nn.logsumexp(logits) - logits[token]

        return jnp.mean(jax.lax.scan(step, jnp.zeros(5), tokens)[1])

    return Case(loss, {"table": draw(7, 5), "u": draw(5, 5)}, draw.integers(7, BATCH, 4))


@case
def convolution_inside_a_scan(draw):
    def loss(p, frames):
        def step(h, frame):
            y = jax.lax.conv_general_dilated(
                jnp.stack([frame, h]), p, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
            )
            return jnp.tanh(y.sum(0)), None

        return squared(jax.lax.scan(step, jnp.zeros((6, 3)), frames)[0])

    return Case(loss, draw(3, 3, 3), draw(BATCH, 3, 6, 3))


def _stacked(name, wrap=lambda f: f, **options):
    def build(draw):
        def loss(p, x):
            @wrap
            def layer(h, q):
                return h + jnp.tanh(h @ q["w"] + q["b"]) @ q["v"], None

            return squared(jax.lax.scan(layer, x, p["layers"], **options)[0] @ p["out"])

        layers = {"w": draw(3, 5, 6), "b": draw(3, 6), "v": draw(3, 6, 5)}
        return Case(loss, {"layers": layers, "out": draw(5, 2)}, draw(BATCH, 2, 5))

    build.__name__ = name
    case(build)


_stacked("stacked_layers")
_stacked("stacked_layers_reversed", reverse=True)
_stacked("stacked_layers_unrolled", unroll=True)
_stacked("stacked_layers_remat", wrap=jax.checkpoint)
_stacked(
    "stacked_layers_remat_nothing_saved",
    wrap=partial(jax.checkpoint, policy=POLICIES.nothing_saveable),
)


@case
def time_inside_layers(draw):
    """A stack of recurrent layers: scan over layers, and inside of it a scan over time."""

    def loss(p, xs):
        @jax.checkpoint
        def layer(xs, q):
            def step(h, x):
                h = jnp.tanh(x @ q["w"] + h @ q["u"] + q["b"] + p["shared"])
                return h, h

            return jax.lax.scan(step, jnp.zeros(4), xs)[1], None

        return squared(jax.lax.scan(layer, xs, p["layers"])[0])

    layers = {"w": draw(3, 4, 4), "u": draw(3, 4, 4), "b": draw(3, 4)}
    return Case(loss, {"layers": layers, "shared": draw(4)}, draw(BATCH, 5, 4))


@case
def layers_inside_time(draw):
    """A deep recurrent cell: scan over time, and inside of it a scan over stacked layers."""

    def loss(p, xs):
        def step(h, x):
            def layer(h, w):
                return jnp.tanh(h @ w + x @ p["input"]), None

            return jax.lax.scan(layer, h, p["stack"])[0], None

        return squared(jax.lax.scan(step, jnp.zeros(4), xs)[0])

    return Case(loss, {"stack": draw(3, 4, 4), "input": draw(5, 4)}, draw(BATCH, 2, 5))


@case
def stack_used_inside_and_outside_of_a_scan(draw):
    def loss(p, x):
        h = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p)[0]
        return squared(h @ p[0]) + squared(h @ p.sum(0)) + jnp.sum(p**2)

    return Case(loss, draw(3, 5, 5), draw(BATCH, 5))


@case
def parameter_in_the_carry(draw):
    def loss(p, xs):
        def step(carry, x):
            w, h = carry
            return (0.9 * w, jnp.tanh(x + h @ w)), None

        return squared(jax.lax.scan(step, (p, jnp.zeros(5)), xs)[0][1])

    return Case(loss, draw(5, 5), draw(BATCH, 3, 5))


@case
def parameter_carried_unchanged(draw):
    def loss(p, xs):
        def step(carry, x):
            w, h = carry
            return (w, jnp.tanh(x + h @ w)), None

        (w, h), _ = jax.lax.scan(step, (p, jnp.zeros(5)), xs)
        return squared(h @ w)

    return Case(loss, draw(5, 5), draw(BATCH, 3, 5))


@case
def parameter_returned_by_a_scan(draw):
    def loss(p, xs):
        _, outputs = jax.lax.scan(lambda c, x: (c, x[0] * p), 0.0, xs)
        return squared(outputs.sum(0) @ xs[0])

    return Case(loss, draw(4, 5), draw(BATCH, 3, 5))


@case
def scan_of_length_zero(draw):
    def loss(p, x):
        h = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p["none"])[0]
        return squared(h @ p["w"])

    return Case(loss, {"none": draw(0, 5, 5), "w": draw(5, 3)}, draw(BATCH, 5))


@case
def fori_loop_over_a_stack(draw):
    def loss(p, x):
        def body(i, h):
            return jnp.tanh(h @ p["stack"][i] + p["b"])

        return squared(jax.lax.fori_loop(0, 3, body, x))

    return Case(loss, {"stack": draw(3, 5, 5), "b": draw(5)}, draw(BATCH, 2, 5))


@case
def fori_loop_that_cycles_through_a_stack(draw):
    def loss(p, x):
        return squared(jax.lax.fori_loop(0, 5, lambda i, h: jnp.tanh(h @ p[i % 2]), x))

    return Case(loss, draw(2, 5, 5), draw(BATCH, 2, 5))


@case
def while_loop_without_parameters(draw):
    """A loop of unknown length on the way, behind stop_gradient."""

    def loss(p, x):
        steps = jax.lax.while_loop(
            lambda s: s[0] < 3.0,
            lambda s: (s[0] * 1.5, s[1] + 1),
            (jax.lax.stop_gradient(jnp.sum((x @ p) ** 2)) + 0.1, 0),
        )[1]
        return squared(x @ p) * steps

    return Case(loss, draw(5, 3), draw(BATCH, 5))


@case
def map_over_heads(draw):
    def loss(p, x):
        return squared(jax.lax.map(lambda w: jnp.tanh(x @ w), p["heads"]).sum(0) @ p["out"])

    return Case(loss, {"heads": draw(3, 5, 4), "out": draw(4, 2)}, draw(BATCH, 2, 5))


@case
def associative_scan(draw):
    """A linear recurrence (state space model) with learned decay."""

    def loss(p, x):
        decay = jnp.broadcast_to(jax.nn.sigmoid(p["decay"]), (x.shape[0], 4))

        def combine(a, b):
            return (a[0] * b[0], b[0] * a[1] + b[1])

        states = jax.lax.associative_scan(combine, (decay, x @ p["input"]))[1]
        return squared(states @ p["output"])

    params = {"decay": draw(4), "input": draw(3, 4), "output": draw(4, 2)}
    return Case(loss, params, draw(BATCH, 5, 3))


@case
def cond_on_the_data(draw):
    def loss(p, x):
        h = jax.lax.cond(
            x[0] > 0,
            lambda p, x: jnp.tanh(x @ p["a"]) @ p["shared"],
            lambda p, x: x @ p["b"] @ p["shared"].T,
            p,
            x,
        )
        return squared(h @ p["out"])

    params = {"a": draw(5, 4), "b": draw(5, 4), "shared": draw(4, 4), "out": draw(4, 2)}
    return Case(loss, params, draw(BATCH, 5))


@case
def cond_on_a_shared_value(draw):
    """A predicate that is the same for all examples stays a branch under vmap."""

    def loss(p, x, flag):
        h = jax.lax.cond(flag, lambda x: jnp.tanh(x @ p["a"]), lambda x: x @ p["b"] + p["c"], x)
        return squared(h)

    params = {"a": draw(5, 4), "b": draw(5, 4), "c": draw(4)}
    return Case(loss, params, draw(BATCH, 3, 5), (jnp.array(True),))


@case
def cond_on_a_parameter(draw):
    def loss(p, x):
        return squared(jax.lax.cond(p["w"][0, 0] > 0, lambda w: x @ w, lambda w: -x @ w, p["w"]))

    return Case(loss, {"w": draw(5, 4)}, draw(BATCH, 3, 5))


@case
def cond_with_parameters_in_one_branch(draw):
    def loss(p, x):
        return squared(jax.lax.cond(jnp.sum(x) > 0, lambda x: x @ p, lambda x: x[:4] * 2, x))

    return Case(loss, draw(5, 4), draw(BATCH, 5))


@case
def cond_that_returns_a_parameter(draw):
    def loss(p, x):
        w = jax.lax.cond(jnp.sum(x) > 0, lambda p: p["a"], lambda p: 2 * p["b"].T, p)
        return squared(x @ w)

    return Case(loss, {"a": draw(5, 4), "b": draw(4, 5)}, draw(BATCH, 2, 5))


@case
def switch_on_the_data(draw):
    def loss(p, example):
        which, x = example
        branches = [
            lambda x: x @ p["a"],
            lambda x: jnp.tanh(x) @ p["a"] @ p["square"],
            lambda x: x @ p["b"],
        ]
        return squared(jax.lax.switch(which, branches, x))

    params = {"a": draw(5, 4), "b": draw(5, 4), "square": draw(4, 4)}
    return Case(loss, params, (draw.integers(3, BATCH), draw(BATCH, 2, 5)))


@case
def switch_on_a_shared_value(draw):
    def loss(p, x, which):
        branches = [lambda x: x @ p["a"], lambda x: x @ p["b"], lambda x: x @ p["a"] + x @ p["b"]]
        return squared(jax.lax.switch(which, branches, x))

    params = {"a": draw(5, 4), "b": draw(5, 4)}
    return Case(loss, params, draw(BATCH, 2, 5), (jnp.array(2),))


@case
def cond_inside_a_scan(draw):
    def loss(p, x):
        def layer(h, inputs):
            i, w = inputs
            return jax.lax.cond(
                i % 2 == 0, lambda h: jnp.tanh(h @ w), lambda h: h @ p["even"], h
            ), 0

        return squared(jax.lax.scan(layer, x, (jnp.arange(3), p["stack"]))[0])

    return Case(loss, {"stack": draw(3, 5, 5), "even": draw(5, 5)}, draw(BATCH, 2, 5))


@case
def early_exit(draw):
    """cond on the data inside of a scan over stacked layers."""

    def loss(p, x):
        def layer(h, w):
            return jax.lax.cond(jnp.sum(h) > 0, lambda h: h + jnp.tanh(h @ w), lambda h: h, h), None

        return squared(jax.lax.scan(layer, x, p)[0])

    return Case(loss, draw(4, 5, 5), draw(BATCH, 5))


@case
def scan_inside_cond(draw):
    def loss(p, x):
        def deep(x):
            return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p)[0]

        return squared(jax.lax.cond(x[0] > 0, deep, lambda x: x @ p[0], x))

    return Case(loss, draw(3, 5, 5), draw(BATCH, 5))


@case
def branches_by_where(draw):
    def loss(p, x):
        return squared(jnp.where(x[0] > 0, x @ p["a"], x @ p["b"]))

    return Case(loss, {"a": draw(5, 4), "b": draw(5, 4)}, draw(BATCH, 5))


@case
def vmap_over_an_ensemble(draw):
    def loss(p, x):
        def member(q):
            return jnp.tanh(x @ q["w"] + q["b"])

        return squared(jax.vmap(member)(p).mean(0))

    return Case(loss, {"w": draw(3, 5, 4), "b": draw(3, 4)}, draw(BATCH, 5))


@case
def vmap_over_positions(draw):
    def loss(p, xs):
        return squared(jax.vmap(lambda x: jnp.tanh(x @ p["w"] + p["b"]) @ p["v"])(xs))

    return Case(loss, {"w": draw(5, 6), "b": draw(6), "v": draw(6, 2)}, draw(BATCH, 3, 5))


@case
def vmap_over_parameters_and_positions(draw):
    def loss(p, xs):
        return squared(jax.vmap(lambda w, x: jnp.tanh(x @ w), in_axes=(1, 0))(p, xs))

    return Case(loss, draw(5, 3, 4), draw(BATCH, 3, 5))


@case
def vmap_of_a_scan(draw):
    def loss(p, xs):
        def run(x):
            return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p)[0]

        return squared(jax.vmap(run)(xs))

    return Case(loss, draw(2, 4, 4), draw(BATCH, 3, 4))


@case
def vmap_of_a_convolution_per_head(draw):
    def loss(p, x):
        def head(kernel):
            return jax.lax.conv_general_dilated(
                x[None], kernel, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
            )

        return squared(jax.vmap(head)(p))

    return Case(loss, draw(2, 3, 4, 3), draw(BATCH, 6, 4))


@case
def vmap_of_lookups(draw):
    def loss(p, tokens):
        return squared(jax.vmap(lambda table, token: table[token])(p, tokens))

    return Case(loss, draw(3, 7, 5), draw.integers(7, BATCH, 3, 2))


@case
def inner_gradient_step(draw):
    """One step of an inner optimization inside of the loss (MAML)."""

    def loss(p, example):
        support, query = example

        def inner(p):
            return squared(jnp.tanh(support @ p["w"]) @ p["v"])

        adapted = jax.tree.map(lambda w, g: w - 0.1 * g, p, jax.grad(inner)(p))
        return squared(jnp.tanh(query @ adapted["w"]) @ adapted["v"])

    params = {"w": draw(4, 5), "v": draw(5, 2)}
    return Case(loss, params, (draw(BATCH, 3, 4), draw(BATCH, 2, 4)))


@case
def gradient_penalty(draw):
    def loss(p, x):
        def critic(x):
            return jnp.sum(jnp.tanh(x @ p["w"]) @ p["v"])

        return critic(x) + (jnp.sum(jax.grad(critic)(x) ** 2) - 1) ** 2

    return Case(loss, {"w": draw(5, 6), "v": draw(6)}, draw(BATCH, 5))


@case
def laplacian_in_the_loss(draw):
    """A physics-informed loss: the trace of the Hessian with respect to the input."""

    def loss(p, x):
        def field(x):
            return jnp.sum(jnp.sin(x @ p["w"]) * p["v"])

        return (jnp.trace(jax.hessian(field)(x)) - field(x)) ** 2

    return Case(loss, {"w": draw(3, 5), "v": draw(5)}, draw(BATCH, 3))


@case
def directional_derivative(draw):
    def loss(p, example):
        x, direction = example
        value, slope = jax.jvp(lambda x: jnp.tanh(x @ p), (x,), (direction,))
        return squared(value) + squared(slope)

    return Case(loss, draw(5, 4), (draw(BATCH, 5), draw(BATCH, 5)))


@case
def derivative_with_respect_to_a_parameter(draw):
    def loss(p, x):
        _, tangent = jax.jvp(lambda w: jnp.tanh(x @ w), (p,), (jnp.ones_like(p),))
        return squared(tangent)

    return Case(loss, draw(5, 4), draw(BATCH, 5))


@case
def ordinary_differential_equation(draw):
    """Runge-Kutta steps in a scan; the field is used four times a step."""

    def loss(p, x):
        def field(h):
            return jnp.tanh(h @ p["w"] + p["b"])

        def step(h, _):
            k1 = field(h)
            k2 = field(h + 0.1 * k1)
            k3 = field(h + 0.1 * k2)
            k4 = field(h + 0.2 * k3)
            return h + 0.2 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return squared(jax.lax.scan(step, x, length=3)[0])

    return Case(loss, {"w": draw(4, 4), "b": draw(4)}, draw(BATCH, 4))
