"""What the study does: fine-tunes with equal and unequal exposure, and asks for the texts."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from jaxtyping import Array, Bool, Float, Int, PyTree

import gujax
from experiments.framework.errors import as_user_error, check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.extraction.options import Options
from experiments.membership.recorder import Statistic, record
from experiments.tasks.language import Tuning, choose_texts, load_language_model, tuning
from gujax import data, models, training, transforms
from gujax.attacks.texts import extract, score_tokens

EQUAL, UNEQUAL = "equal", "unequal"
CONDITIONS = (EQUAL, UNEQUAL)
_ALTERNATIVES = 31  # codes that were not trained on, to rank each canary's own among
_DIGITS = 6


class Plan(NamedTuple):
    """Which texts are trained on.

    Attributes:
        texts: Of each seed: texts, then canaries, then each canary with other codes.
        tokens: The same as the model reads them.
    """

    options: Options
    language_model: models.LanguageModel
    texts: Sequence[tuple[str, ...]]
    tokens: Sequence[data.Tokens]

    @property
    def num_steps(self) -> int:
        """Two fine-tunings per seed."""
        return len(CONDITIONS) * self.options.seeds


def prepare(options: Options) -> Plan:
    """Loads model and texts, and makes canaries."""
    wanted = options.num_texts * options.seeds
    asked_by = "--num-texts and --seeds"
    chosen = choose_texts(options.texts, options.feature, wanted, asked_by, options.seed)
    texts = [
        chosen[seed * options.num_texts :][: options.num_texts]
        + _canaries(options.canaries, options.seed + seed)
        for seed in range(options.seeds)
    ]
    lm = load_language_model(options.model)
    with as_user_error(ValueError):
        flat = [text for of_seed in texts for text in of_seed]
        all_tokens = data.tokenize(flat, lm.tokenizer, lm.config.context, cut_to=options.cut_to)
    rows = np.split(np.arange(len(flat)), options.seeds)
    tokens = [data.Tokens(all_tokens.tokens[part], all_tokens.lengths[part]) for part in rows]
    for of_seed in tokens:
        shortest = int(of_seed.lengths[: options.num_texts].min())
        check_option(
            shortest > options.prefix,
            f"--prefix {options.prefix}: a text has {shortest} tokens; choose a shorter one",
        )
    return Plan(options, lm, texts, tokens)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> pl.DataFrame:
    """One row per seed, condition and text, see `_table`."""
    parts = []
    # One program for all seeds: adapters start anew, from the same place.
    trained = tuning(plan.language_model, plan.options.lora_rank, jax.random.key(plan.options.seed))
    for condition in CONDITIONS:
        repeats = exposures_of(plan.options, condition)
        optimizer, epochs = _optimizer(plan.options, repeats, condition)
        for seed in range(plan.options.seeds):
            with steps.step(f"fine-tuning, {condition} exposure, seed {seed}"):
                part = _run(plan, trained, optimizer, repeats, epochs, seed, steps)
                parts.append(
                    part.select(
                        pl.lit(condition).alias("condition"), pl.lit(seed).alias("seed"), pl.all()
                    )
                )
    return pl.concat(parts)


def frames(plan: Plan, table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Every text, with what tells of it and whether it was extracted."""
    return {"texts": table}


def exposures_of(options: Options, condition: str) -> Int[np.ndarray, " texts"]:
    """How often each text, then each canary, is in the data."""
    if condition == EQUAL:
        return np.ones(options.num_texts + options.canaries, int)
    counts = np.array(options.exposures)
    return np.concatenate(
        [np.repeat(counts, n // len(counts)) for n in (options.num_texts, options.canaries)]
    )


def _canaries(count: int, seed: int) -> tuple[str, ...]:
    """Canaries, then each with other codes."""
    rng = np.random.default_rng((seed, 1))
    codes = rng.integers(0, 10, (count, 1 + _ALTERNATIVES, _DIGITS))
    said = [
        [f"The code of door {n} is {' '.join(map(str, code))}" for code in of_one]
        for n, of_one in enumerate(codes)
    ]
    return tuple(of_one[0] for of_one in said) + tuple(t for of_one in said for t in of_one[1:])


def _optimizer(
    options: Options, repeats: Int[np.ndarray, " texts"], condition: str
) -> tuple[optax.GradientTransformationExtraArgs, int]:
    """Adam, every batch of which is measured; and the number of epochs."""
    epochs = options.equal_epochs if condition == EQUAL else options.epochs
    count = int(repeats.sum())
    batches = training.plan_batches(count, options.batch_size, epochs)
    rate = optax.cosine_decay_schedule(options.learning_rate, batches.steps_per_epoch * epochs)
    plain = transforms.mean(batch_size=batches.physical_size)
    measured = record(plain, statistics(options.relative_ridge), count)
    return optax.chain(measured, optax.adam(rate)), epochs


def statistics(ridge: float) -> dict[str, Statistic]:
    """What is added up over the steps of each text."""

    def gnq(grads: PyTree, mask: Bool[Array, "batch"]) -> Float[Array, "batch"]:
        return gujax.uniqueness(gujax.gram(grads), relative_ridge=ridge, mask=mask)

    def nats(grads: PyTree, mask: Bool[Array, "batch"]) -> Float[Array, "batch"]:
        return gujax.disclosure_bound(gnq(grads, mask))

    def squared_norm(grads: PyTree, mask: Bool[Array, "batch"]) -> Float[Array, "batch"]:
        return jnp.where(mask, jnp.diagonal(gujax.gram(grads)), 0)

    return {"nats": nats, "gnq": gnq, "squared_norm": squared_norm}


def _run(
    plan: Plan,
    trained: Tuning,
    optimizer: optax.GradientTransformationExtraArgs,
    repeats: Int[np.ndarray, " texts"],
    epochs: int,
    seed: int,
    steps: Steps,
) -> pl.DataFrame:
    """Fine-tunes on the texts of a seed, each repeated, and asks for them."""
    options, lm, texts = plan.options, plan.language_model, plan.tokens[seed]
    rows = np.repeat(np.arange(len(repeats)), repeats)
    before = score_tokens(lm.model.apply, lm.params, texts)
    split = training.text_split(data.Tokens(texts.tokens[rows], texts.lengths[rows]))
    result = training.train(
        trained.loss_fn,
        trained.params,
        split,
        optimizer,
        batch_size=options.batch_size,
        epochs=epochs,
        key=jax.random.fold_in(jax.random.key(options.seed), seed),
        shared=trained.shared,
        callback=lambda epoch, _: steps.within(epoch + 1, epochs),
    )
    after = score_tokens(lm.model.apply, trained.released(result.params), texts)
    found, count = extract(after, options.prefix), len(repeats)
    said = -after.losses * (texts.lengths - 1)  # log-probability of the whole text
    others = said[count:].reshape(options.canaries, _ALTERNATIVES)
    ranks = 1 + (others >= said[options.num_texts : count, None]).sum(axis=1)
    canary = np.arange(count) >= options.num_texts
    exposure = np.full(count, np.nan)
    exposure[canary] = np.log2(1 + _ALTERNATIVES) - np.log2(ranks)
    texts_said = [lm.tokenizer.decode(r[:n].tolist()) for r, n in zip(texts.tokens, texts.lengths)]
    totals = {
        name: np.bincount(rows, np.asarray(total, float), count)
        for name, total in result.opt_state[0].totals.items()
    }
    return pl.DataFrame(
        {
            "text": texts_said[:count],
            "canary": canary,
            "exposures": epochs * repeats,
            "tokens": texts.lengths[:count],
            "zlib": [len(zlib.compress(text.encode())) for text in texts_said[:count]],
            **totals,
            "loss_before": before.losses[:count],
            "loss_after": after.losses[:count],
            "extracted": found.greedy[:count],
            "log_probability": found.log_probability[:count],
            "suffix": found.suffix[:count],
            "canary_exposure": exposure,
        }
    )
