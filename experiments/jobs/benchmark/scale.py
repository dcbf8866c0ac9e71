"""What an audited step of large language models would cost on accelerators: from shapes alone.

Nothing is computed: parameters and texts are shapes, operations and bytes are those of the plan
that `gujax.explain` makes, and times follow from the data sheet of one device. Batch and parameters
are sharded evenly.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.framework.progress import Steps
from experiments.framework.results import Entry, entry
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark.options import Options
from gujax import gradients, models, training
from gujax.models import LanguageConfig

TEXTS = 8  # per step, over all devices
MODELS = {
    "SmolLM2-135M": LanguageConfig("llama", 49152, 8192, 576, 30, 9, 3, 1536, 64),
    "Llama-3.2-1B": LanguageConfig("llama", 128256, 8192, 2048, 16, 32, 8, 8192, 64),
    "Llama-3.1-8B": LanguageConfig("llama", 128256, 8192, 4096, 32, 32, 8, 14336, 128, tied=False),
}
_SMOKE = {"tiny": LanguageConfig("llama", 256, 8192, 32, 2, 4, 2, 64, 8)}
TOKENS, DEVICES = (2048, 8192), (1, 8)

# Data sheet of an H100 SXM, and what of its arithmetic large matrix products usually reach.
FLOPS, ATTAINED = 989e12, 0.4  # of bfloat16, without sparsity
BANDWIDTH, LINK, MEMORY = 3.35e12, 450e9, 80e9  # bytes per second, to another device, bytes
_STATE = 16  # bytes per parameter: itself, its gradient and two moments in float32
_ACTIVATION, _FORMED = 2, 4  # bytes of a number that is kept, and of one that is accumulated


class Work(NamedTuple):
    """What one step takes, over all devices.

    Attributes:
        parameters: How many numbers the model has.
        plain_flops: Operations of a plain step.
        audit_flops: What an audit adds to them.
        audit_bytes: What it writes to memory and reads again.
        activations: Bytes that a plain step keeps.
        factors: Bytes that an audited step keeps.
    """

    parameters: int
    plain_flops: float
    audit_flops: float
    audit_bytes: float
    activations: float
    factors: float


class Plan(NamedTuple):
    """The models, and how long their texts are."""

    options: Options
    models: dict[str, LanguageConfig]

    @property
    def num_steps(self) -> int:
        """One per model and length."""
        return len(self.models) * len(TOKENS)


Predicted = dict[tuple[str, int], Work]


def prepare(options: Options) -> Plan:
    """Chooses the models."""
    return Plan(options, _SMOKE if options.smoke else MODELS)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Predicted:
    """The work of every model and length."""
    found = {}
    for name, config in plan.models.items():
        for tokens in TOKENS:
            with steps.step(f"{name}, {tokens:,} tokens"):
                found[name, tokens] = work_of(config, tokens, TEXTS)
    return found


def work_of(config: LanguageConfig, tokens: int, texts: int) -> Work:
    """Operations and bytes of one step, plain and audited (Gram matrix, GNQ, mean gradient)."""
    model = models.language_model(config)
    params = jax.eval_shape(model.init, jax.random.key(0))
    text = (jax.ShapeDtypeStruct((tokens,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32))
    loss_fn = training.next_token_loss(model.apply)
    flops = moved = kept = 0.0
    for leaf in gradients.explain(loss_fn, params, text, batch_size=texts).parameters:
        elements = texts * math.prod(leaf.shape)
        formed = leaf.gram != "inner" and leaf.memory == elements
        if formed:
            # A plain step multiplies the same factors; these products are not added up at once.
            flops += 2 * texts * elements
            moved += 3 * _FORMED * elements  # written, read for the Gram matrix and for the mean
        else:
            flops += leaf.gram_flops
            moved += 2 * leaf.formed
        kept += (_FORMED if formed else _ACTIVATION) * leaf.memory
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    read = config.vocabulary * config.width * (not config.tied)  # looked up, not multiplied
    positions = texts * (tokens - 1)
    attention = 12 * config.layers * config.heads * config.head_size * positions * (tokens - 1)
    return Work(
        count,
        6.0 * (count - read) * positions + attention,
        flops,
        moved,
        _ACTIVATION * positions * _inputs(config),
        kept,
    )


def _inputs(config: LanguageConfig) -> int:
    """Numbers per token that a backward pass needs, where attention forms its scores in blocks."""
    queries, keys = config.heads * config.head_size, config.key_heads * config.head_size
    # Inputs of attention and of the feed-forward network, before and after their norms; queries,
    # keys, values and output of attention; both factors of the gate, and their product.
    block = 4 * config.width + 2 * queries + 2 * keys + 3 * config.hidden
    return config.layers * block + 2 * config.width + config.vocabulary


def seconds(work: Work, devices: int) -> tuple[float, float]:
    """Of a plain and of an audited step."""
    rate = devices * ATTAINED * FLOPS
    others = (devices - 1) / devices
    # Parameters are gathered for the forward and for the backward pass; gradients are scattered.
    sent = 3 * _ACTIVATION * work.parameters * others
    plain = max(work.plain_flops / rate, sent / LINK)
    shared = work.factors * others / devices  # every device meets the factors of all others
    added = work.audit_flops / rate + work.audit_bytes / (devices * BANDWIDTH) + shared / LINK
    return plain, plain + added


def memory(work: Work, devices: int) -> tuple[float, float]:
    """Bytes per device, of a plain and of an audited step."""
    state = _STATE * work.parameters / devices
    plain = work.activations / devices
    return state + plain, state + plain + work.factors / devices


def analyze(plan: Plan, predicted: Predicted) -> Iterator[Entry]:
    """Keys: model, tokens per text, devices, and step (plain or audited)."""
    for (name, tokens), work in predicted.items():
        for devices in DEVICES:
            place: dict[str, str | int] = {"model": name, "tokens": tokens, "devices": devices}
            took, held = seconds(work, devices), memory(work, devices)
            for step, time, size in zip(("plain", "audited"), took, held):
                yield entry("seconds", time, "s", step=step, **place)
                yield entry("memory", size / 1e9, "GB", step=step, **place)
            yield entry("ratio", took[1] / took[0], **place)
            yield entry("fits", held[1] <= MEMORY, **place)
