"""What is benchmarked: a model with its loss and a batch of random data."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import jax
import numpy as np
from jaxtyping import PyTree

from experiments.tasks.language import whole_text_loss
from gujax import models
from gujax.training import cross_entropy_loss

Family = Literal["mlp", "cnn", "resnet", "gpt", "gpt2", "smollm2"]

# SmolLM2-135M; its parameters are random here, which takes as long.
SMOLLM2 = models.LanguageConfig(
    "llama",
    vocabulary=49152,
    context=8192,
    width=576,
    layers=30,
    heads=9,
    key_heads=3,
    hidden=1536,
    head_size=64,
    rope_theta=100000.0,
)
TINY = models.LanguageConfig("llama", 16, 8, 12, 1, 2, 1, 16, 6)


@dataclass(frozen=True)
class Case:
    """A model with its initial parameters and loss, and a batch, every leaf [B, ...].

    Attributes:
        config: Of a published language model.
    """

    family: Family
    model: str
    params: PyTree
    batch: PyTree
    loss_fn: Callable
    config: models.LanguageConfig | None = None

    @property
    def label(self) -> str:
        """Model and batch size."""
        return f"{self.model}, B = {self.batch_size}"

    @property
    def batch_size(self) -> int:
        """Number of examples."""
        return len(jax.tree.leaves(self.batch)[0])

    @property
    def num_parameters(self) -> int:
        """Number of parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))


def mlp_case(batch_size: int, inputs: int, hidden: tuple[int, ...], classes: int = 10) -> Case:
    """A multi-layer perceptron."""
    model = models.mlp((inputs,), classes, hidden)
    name = "MLP " + "-".join(map(str, (inputs, *hidden, classes)))
    return _classifier("mlp", name, model, batch_size, (inputs,), classes)


def image_case(
    family: Literal["cnn", "resnet"],
    batch_size: int,
    shape: tuple[int, int, int],
    channels: tuple[int, ...],
    classes: int = 10,
) -> Case:
    """A convolutional network with group norm."""
    build, kind = (models.convnet, "CNN") if family == "cnn" else (models.resnet, "ResNet")
    name = f"{kind} {'-'.join(map(str, channels))} on {shape[0]}×{shape[1]}"
    model = build(shape, classes, channels)
    return _classifier(family, name, model, batch_size, shape, classes)


def gpt_case(
    batch_size: int,
    context: int,
    vocabulary: int,
    width: int,
    layers: int,
    heads: int,
    family: Literal["gpt", "gpt2"] = "gpt",
) -> Case:
    """A transformer with tied embeddings that predicts the next of T tokens."""
    model = models.gpt(context, vocabulary, width, layers, heads)
    name = f"GPT {layers}×{width}, T = {context}"
    return _next_token(family, name, model, batch_size, context, vocabulary)


def smollm2_case(batch_size: int, length: int, config: models.LanguageConfig = SMOLLM2) -> Case:
    """A published language model that predicts the next of so many tokens."""
    model = models.language_model(config)
    name = f"SmolLM2 {config.layers}×{config.width}, T = {length}"
    case = _next_token("smollm2", name, model, batch_size, length, config.vocabulary)
    return replace(case, config=config)


def chosen_cases(families: tuple[Family, ...], smoke: bool) -> list[Callable[[], Case]]:
    """Builders of the cases of the issue; with `smoke`, of the same models, tiny."""
    table: dict[Family, list[Callable[[], Case]]]
    if smoke:
        table = {
            "mlp": [partial(mlp_case, 6, 10, (8, 8), 4)],
            "cnn": [partial(image_case, "cnn", 6, (8, 8, 1), (8,), 4)],
            "resnet": [partial(image_case, "resnet", 6, (8, 8, 3), (8,), 4)],
            "gpt": [partial(gpt_case, 4, 6, 16, 8, 1, 2)],
            "gpt2": [partial(gpt_case, 3, 6, 16, 12, 1, 3, family="gpt2")],
            "smollm2": [partial(smollm2_case, 3, 6, TINY)],
        }
    else:
        table = {
            "mlp": [partial(mlp_case, size, 784, (1024, 1024)) for size in (32, 128, 512)],
            "cnn": [partial(image_case, "cnn", 64, (28, 28, 1), (16, 32))],
            "resnet": [partial(image_case, "resnet", 64, (32, 32, 3), (16, 32, 64))],
            "gpt": [partial(gpt_case, 16, 128, 8192, 256, 4, 4)],
            "gpt2": [partial(gpt_case, 16, 128, 50257, 768, 12, 12, family="gpt2")],
            "smollm2": [partial(smollm2_case, *shape) for shape in ((8, 32), (16, 32), (8, 128))],
        }
    return [build for family in dict.fromkeys(families) for build in table[family]]


def _classifier(
    family: Family,
    name: str,
    model: models.Model,
    batch_size: int,
    shape: tuple[int, ...],
    classes: int,
) -> Case:
    rng = np.random.default_rng(0)
    x = rng.random((batch_size, math.prod(shape)), np.float32).reshape(batch_size, *shape)
    y = rng.integers(0, classes, batch_size).astype(np.int32)
    batch = jax.device_put((x, y))
    return Case(family, name, _init(model), batch, cross_entropy_loss(model))


def _next_token(
    family: Family,
    name: str,
    model: models.Model,
    batch_size: int,
    length: int,
    vocabulary: int,
) -> Case:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, vocabulary, (batch_size, length + 1)).astype(np.int32)
    return Case(family, name, _init(model), jax.device_put(tokens), whole_text_loss(model))


def _init(model: models.Model) -> PyTree:
    return jax.jit(model.init)(jax.random.key(0))
