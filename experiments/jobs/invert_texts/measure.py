"""Shares updates of texts under every defense, and reads them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from jaxtyping import Array, Float, Int, PyTree

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion.sharing import Victims, share
from experiments.jobs.invert_texts.plan import VOCABULARY, Plan, parameters
from gujax import models
from gujax.attacks import inversion

AttentionInputs = Callable[[Array], tuple[Array, Array]]

_SHARING = 1  # of a seed's key; the parameters are those of the key itself


class Sample(NamedTuple):
    """A text behind an update, and what was found nearest to it; None if nothing was found."""

    defense: str
    truth: Int[np.ndarray, " t"]
    found: Int[np.ndarray, " t"] | None


class Attacked(NamedTuple):
    """What was read.

    Attributes:
        frame: One row per seed, defense and update: `tokens_recovered` and `texts_recovered` as
            shares of what the model read, `false_texts` found that are none of the batch, different
            `inputs` of the second layer, the `rank` that DAGER saw in the first, and why it
            refused.
        samples: The texts of the first update of the first seed, by defense.
    """

    frame: pl.DataFrame
    samples: list[Sample]


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Attacked:
    """Attacks every update."""
    rows: list[dict[str, Any]] = []
    samples: list[Sample] = []
    for seed in range(plan.options.seeds):
        params = parameters(plan, seed)
        attention_inputs = _first_inputs(plan, params)
        for shared in plan.shared_updates:
            with steps.step(f"seed {seed}: {shared.label}"):
                victims = _draw(plan, shared.num_examples * plan.options.updates, seed)
                key = jax.random.fold_in(jax.random.key(seed), _SHARING)
                received = share(shared, params, victims, key)
                for place, texts in enumerate(np.asarray(received.examples[0])):
                    update = jax.tree.map(lambda leaf, place=place: leaf[place], received.updates)
                    read = texts[:, :-1]
                    row, nearest = _read(plan, attention_inputs, update, read)
                    rows.append({"seed": seed, "defense": shared.label, "update": place, **row})
                    if seed == 0 and place == 0:
                        samples += [
                            Sample(shared.label, text, None if nearest is None else nearest[i])
                            for i, text in enumerate(read)
                        ]
    return Attacked(pl.DataFrame(rows, infer_schema_length=None), samples)


def frames(plan: Plan, attacked: Attacked) -> dict[str, pl.DataFrame]:
    """Every update that was read."""
    return {"updates": attacked.frame}


def _draw(plan: Plan, count: int, seed: int) -> Victims:
    """Texts of a seed, none twice."""
    places = np.random.default_rng(seed).choice(len(plan.tokens), count, replace=False)
    labels = np.zeros(count, np.int32)
    return Victims(plan.tokens[places], labels, places.astype(np.int32))


def _first_inputs(plan: Plan, params: PyTree) -> AttentionInputs:
    """What the first two blocks' attention is given; one object for all updates compiles once."""

    def attention_inputs(tokens: Array) -> tuple[Array, Array]:
        first, second, *_ = models.gpt_attention_inputs(params, tokens, plan.options.heads)
        return first, second

    return attention_inputs


def _read(
    plan: Plan,
    attention_inputs: AttentionInputs,
    update: PyTree,
    texts: Int[np.ndarray, "texts t"],
) -> tuple[dict[str, Any], Int[np.ndarray, "texts t"] | None]:
    """How much of the texts DAGER reads, and for every text the nearest that it found."""
    options = plan.options
    blocks = [update["blocks"][number] for number in sorted(update["blocks"])[:2]]
    kernels = [block["queries_keys_values"]["kernel"] for block in blocks]
    row: dict[str, Any] = {"refusal": None, "rank": None, "inputs": different_beginnings(texts)}
    try:
        found = inversion.dager(
            [np.asarray(kernel[:, : 2 * options.width]) for kernel in kernels],
            attention_inputs,
            vocabulary=VOCABULARY,
            context=options.context,
            tolerance=options.tolerance,
            max_texts=options.max_texts,
        )
    except inversion.NotInvertible as error:
        nothing = {"tokens_recovered": 0.0, "texts_recovered": 0.0, "false_texts": 0}
        return {**row, **nothing, "refusal": str(error)}, None
    same = agreement(texts, found.tokens)
    nearest = same.argmax(1)
    row |= {
        "tokens_recovered": float(same.max(1).mean()),
        "texts_recovered": float((same.max(1) == 1).mean()),
        "false_texts": int((same.max(0) < 1).sum()),
        "rank": found.rank,
    }
    return row, found.tokens[nearest]


def different_beginnings(texts: Int[np.ndarray, "texts t"]) -> int:
    """How many inputs attention has after the first layer: texts that begin alike share some."""
    return sum(len(np.unique(texts[:, : place + 1], axis=0)) for place in range(texts.shape[1]))


def agreement(
    texts: Int[np.ndarray, "texts t"], found: Int[np.ndarray, "found t"]
) -> Float[np.ndarray, "texts found"]:
    """Share of a text's tokens that a found text has at the same position."""
    return (texts[:, None] == found[None]).mean(-1)
