"""What the study does: fine-tunes with equal and unequal exposure, and asks for the texts."""

import zlib
from collections.abc import Sequence
from functools import cache, partial
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
from experiments.jobs.extraction.counterfactual import (
    correct_tokens,
    counterfactual_memorization,
    halves,
)
from experiments.jobs.extraction.options import Options
from experiments.membership.recorder import Statistic, record
from experiments.tasks.language import (
    Tuning,
    beginning,
    choose_texts,
    converged,
    load_language_model,
    tuning,
)
from gujax import data, models, training, transforms
from gujax.attacks.texts import TokenScores, extract, score_tokens

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
        """Two fine-tunings per seed, and the references of each."""
        return len(CONDITIONS) * self.options.seeds * (1 + self.options.references)


def prepare(options: Options) -> Plan:
    """Loads model and texts, and makes canaries."""
    wanted = options.num_texts * options.seeds
    asked_by = "--num-texts and --seeds"
    lm = load_language_model(options.model)
    chosen = choose_texts(
        options.texts,
        options.feature,
        wanted,
        asked_by,
        options.seed,
        read_as=beginning(lm, options.cut_to),
    )
    texts = [
        chosen[seed * options.num_texts :][: options.num_texts]
        + _canaries(options.canaries, options.seed + seed)
        for seed in range(options.seeds)
    ]
    with as_user_error(ValueError):
        flat = [text for of_seed in texts for text in of_seed]
        all_tokens = data.tokenize(flat, lm.tokenizer, lm.config.context, cut_to=options.cut_to)
    rows = np.split(np.arange(len(flat)), options.seeds)
    tokens = [data.Tokens(all_tokens.tokens[part], all_tokens.lengths[part]) for part in rows]
    shortest = int(all_tokens.lengths.min())
    check_option(
        shortest > options.prefix,
        f"--prefix {options.prefix}: a text has {shortest} tokens; choose a shorter one",
    )
    canaries = [text for of_seed in texts for text in of_seed[options.num_texts :]]
    longest = max(len(lm.tokenizer.encode(text).ids) for text in canaries)
    check_option(
        longest <= options.cut_to,
        f"--cut-to {options.cut_to} cuts canaries, which have {longest} tokens; cut later",
    )
    known = [of_seed.tokens[options.num_texts :, : options.prefix] for of_seed in tokens]
    check_option(
        all(_is_without_code(beginnings, options.canaries) for beginnings in known),
        f"--prefix {options.prefix} reaches into the codes of canaries; choose a shorter one",
    )
    return Plan(options, lm, texts, tokens)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> pl.DataFrame:
    """One row per seed, condition and text, see `_table`."""
    parts = []
    # One program for all seeds: adapters start anew, from the same place.
    trained = tuning(plan.language_model, plan.options.lora_rank, jax.random.key(plan.options.seed))
    for condition in CONDITIONS:
        for seed in range(plan.options.seeds):
            run = Run(plan, trained, condition, seed, steps)
            part = steps.result(f"fine-tuning, {run.place}", partial(_table, run))
            if plan.options.references:
                part = part.with_columns(counterfactual=_counterfactual(run))
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
        [
            f"The code that opens the door with number {n} is {' '.join(map(str, code))}"
            for code in of_one
        ]
        for n, of_one in enumerate(codes)
    ]
    return tuple(of_one[0] for of_one in said) + tuple(t for of_one in said for t in of_one[1:])


def _is_without_code(beginnings: Int[np.ndarray, "said tokens"], count: int) -> bool:
    """Whether each of so many canaries begins as the same with other codes does."""
    canaries, others = beginnings[:count], beginnings[count:]
    return bool((others.reshape(count, -1, canaries.shape[1]) == canaries[:, None]).all())


class Run(NamedTuple):
    """One seed under one condition.

    Attributes:
        trained: What is trained of the model.
    """

    plan: Plan
    trained: Tuning
    condition: str
    seed: int
    steps: Steps

    @property
    def place(self) -> str:
        """As progress names it."""
        return f"{self.condition} exposure, seed {self.seed}"

    @property
    def repeats(self) -> Int[np.ndarray, " texts"]:
        """How often each text, then each canary, is in the data."""
        return exposures_of(self.plan.options, self.condition)

    @property
    def epochs(self) -> int:
        """Passes over the data."""
        options = self.plan.options
        return options.equal_epochs if self.condition == EQUAL else options.epochs

    @property
    def texts(self) -> data.Tokens:
        """Texts, canaries and other codes, as the model reads them."""
        return self.plan.tokens[self.seed]

    def fine_tune(
        self, repeats: Int[np.ndarray, " texts"], *, measured: bool
    ) -> training.TrainResult:
        """Trains on texts, each of them so many times; measures every batch, or none."""
        options, texts = self.plan.options, self.texts
        rows = np.repeat(np.arange(len(repeats)), repeats)
        return training.train(
            self.trained.loss_fn,
            self.trained.params,
            training.text_split(data.Tokens(texts.tokens[rows], texts.lengths[rows])),
            _optimizer(options, len(rows), self.epochs, measured=measured),
            batch_size=min(options.batch_size, len(rows)),
            epochs=self.epochs,
            key=jax.random.fold_in(jax.random.key(options.seed), self.seed),
            shared=self.trained.shared,
            callback=lambda epoch, _: self.steps.within(epoch + 1, self.epochs),
        )

    def score(self, params: PyTree, count: int | None = None) -> TokenScores:
        """What the model with these parameters says of the first so many texts, or of all."""
        asked = data.Tokens(self.texts.tokens[:count], self.texts.lengths[:count])
        apply = self.plan.language_model.model.apply
        scores = score_tokens(apply, self.trained.released(params), asked)
        return converged(scores, self.plan.options.learning_rate)


@cache  # the same one for all seeds, so that jit finds its program again
def _optimizer(
    options: Options, count: int, epochs: int, *, measured: bool
) -> optax.GradientTransformationExtraArgs:
    """Adam on so many rows; if `measured`, every batch is."""
    batches = training.plan_batches(count, min(options.batch_size, count), epochs)
    rate = optax.cosine_decay_schedule(options.learning_rate, batches.steps_per_epoch * epochs)
    plain = transforms.mean(batch_size=batches.physical_size)
    watched = record(plain, statistics(options.relative_ridge), count) if measured else plain
    return optax.chain(watched, optax.adam(rate))


def statistics(ridge: float) -> dict[str, Statistic]:
    """What is added up over the steps of each text."""

    def gnq(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        return gujax.uniqueness(gujax.gram(grads), relative_ridge=ridge, mask=mask)

    def nats(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        return gujax.disclosure_bound(gnq(grads, mask))

    def squared_norm(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        return jnp.where(mask, jnp.diagonal(gujax.gram(grads)), 0)

    return {"nats": nats, "gnq": gnq, "squared_norm": squared_norm}


def _counterfactual(run: Run) -> Float[np.ndarray, " texts"]:
    """Counterfactual memorization of texts and canaries."""
    options, count = run.plan.options, len(run.repeats)
    chosen = halves(run.repeats, options.references, options.seed + run.seed)

    def correct(half: Bool[np.ndarray, " texts"]) -> Float[np.ndarray, " texts"]:
        result = run.fine_tune(run.repeats * half, measured=False)
        return correct_tokens(run.score(result.params, count))

    known = [
        run.steps.result(
            f"reference {number} of {len(chosen)}, {run.place}", partial(correct, half)
        )
        for number, half in enumerate(chosen, 1)
    ]
    return counterfactual_memorization(np.array(known), chosen)


def _table(run: Run) -> pl.DataFrame:
    """Fine-tunes on the texts of a seed, each repeated, and asks for them."""
    options, lm, texts = run.plan.options, run.plan.language_model, run.texts
    epochs, repeats = run.epochs, run.repeats
    count = len(repeats)
    before = run.score(run.trained.params, count)
    result = run.fine_tune(repeats, measured=True)
    after = run.score(result.params)
    found = extract(after, options.prefix)
    said = -after.losses * (texts.lengths - 1)  # log-probability of the whole text
    others = said[count:].reshape(options.canaries, _ALTERNATIVES)
    ranks = 1 + (others >= said[options.num_texts : count, None]).sum(axis=1)
    canary = np.arange(count) >= options.num_texts
    exposure = np.full(count, np.nan)
    exposure[canary] = np.log2(1 + _ALTERNATIVES) - np.log2(ranks)
    texts_said = [lm.tokenizer.decode(r[:n].tolist()) for r, n in zip(texts.tokens, texts.lengths)]
    rows = np.repeat(np.arange(count), repeats)
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
            "loss_before": before.losses,
            "loss_after": after.losses[:count],
            "extracted": found.greedy[:count],
            "log_probability": found.log_probability[:count],
            "suffix": found.suffix[:count],
            "canary_exposure": exposure,
        }
    )
