"""What the job attacks: texts, a small language model, and its updates under every defense."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Int, PyTree

from experiments.framework.errors import UserError, as_user_error, check_option
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.sharing import SharedUpdate
from experiments.jobs.invert_texts.options import Options
from experiments.tasks.language import Bytes, whole_text_loss
from experiments.tasks.task import Task
from gujax import data, models
from gujax.training import LossFn

VOCABULARY = 256  # bytes

# What needs a place that a language model does not have.
_BOTTLENECKS = ("precode", "ppp", "cvb")


@dataclass(frozen=True)
class Plan:
    """What is attacked.

    Attributes:
        options: Of the job.
        tokens: The texts, [N, context + 1]; the model reads all tokens but the last, which is only
            predicted.
        model: A GPT of bytes.
        shared_updates: What the defenses make of its gradients.
    """

    options: Options
    tokens: Int[np.ndarray, "texts t"]
    model: models.Model
    shared_updates: Sequence[SharedUpdate]

    @property
    def num_steps(self) -> int:
        """One for every seed and defense."""
        return self.options.seeds * len(self.shared_updates)


def prepare(options: Options) -> Plan:
    """Loads the texts and makes the defenses ready; wrong names, places and sizes are found."""
    for name in options.defenses:
        check_option(
            name.partition(":")[0] not in _BOTTLENECKS,
            f"the defense '{name}' puts a bottleneck before a layer that maps vectors or images, "
            "which the GPT lacks: its output layer is the embedding of its tokens; leave it out",
        )
    tokens = _load(options)
    model = models.gpt(options.context, VOCABULARY, options.width, options.blocks, options.heads)
    task = Task(_dataset(options.texts, tokens), model, "GPT", _loss(model))
    setting = Setting(batch_size=options.batch_size, crowd=options.crowd)
    shared_updates = build_shared_updates(task, options.defenses, setting)
    needed = max(shared.num_examples for shared in shared_updates) * options.updates
    check_option(
        needed <= len(tokens),
        f"--updates {options.updates} need {needed} texts under one of the defenses, but "
        f"{len(tokens)} of --num-texts {options.num_texts} have more than {options.context} bytes; "
        "ask for fewer updates or more texts",
    )
    return Plan(options, tokens, model, shared_updates)


def _loss(model: models.Model) -> LossFn:
    """The loss of examples in the form in which defenses take them: a text has no label."""
    of_text = whole_text_loss(model)
    return lambda params, example: of_text(params, example[0])


def _load(options: Options) -> Int[np.ndarray, "texts t"]:
    """The beginnings of those texts that are long enough, as bytes."""
    with as_user_error(ValueError):
        texts = data.load_texts(options.texts, feature=options.feature, num_texts=options.num_texts)
    length, encode = options.context + 1, Bytes().encode
    tokens = [ids[:length] for text in texts if len(ids := encode(text).ids) >= length]
    if not tokens:
        raise UserError(
            f"--context {options.context}: no text of {options.texts} has more bytes than that; "
            "ask for a shorter context"
        )
    return np.array(tokens, np.int32)


def _dataset(name: str, tokens: Int[np.ndarray, "texts t"]) -> data.Dataset:
    """Texts in the form in which defenses take examples; their labels say nothing."""
    number = np.arange(len(tokens), dtype=np.int32)
    split = data.Split(tokens, np.zeros_like(number), number)
    return data.Dataset(name, split, split.prefix(1), VOCABULARY)


def parameters(plan: Plan, seed: int) -> PyTree:
    """The parameters of a seed, at initialization."""
    return plan.model.init(jax.random.key(seed))
