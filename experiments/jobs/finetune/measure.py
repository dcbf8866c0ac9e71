"""What the fine-tuning does: trains under a ledger, then attacks what would be released."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, PRNGKeyArray

from experiments.framework.errors import as_user_error, check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.finetune.options import LIRA, Options
from experiments.jobs.finetune.references import halves_of, lira_scores
from experiments.membership.defenses import Privacy, Training
from experiments.membership.defenses import prepare as prepare_training
from experiments.membership.history import History
from experiments.membership.release import ledger_of, ledger_totals, nats_spread
from experiments.tasks.language import (
    Tuning,
    beginning,
    choose_texts,
    converged,
    load_language_model,
    tuning,
)
from experiments.tasks.recipe import Recipe
from gujax import data, models, training
from gujax.attacks.texts import TokenScores, extract, membership_scores, score_tokens
from gujax.data import Tokens
from gujax.uniqueness import Ledger


class Plan(NamedTuple):
    """What is fine-tuned on what.

    Attributes:
        texts: All texts, those to train on first.
        tokens: The same as the model reads them.
    """

    options: Options
    language_model: models.LanguageModel
    texts: tuple[str, ...]
    tokens: Tokens
    recipe: Recipe

    @property
    def num_steps(self) -> int:
        """Scores before, training, scores after; and the references."""
        return 3 + self.options.references

    @property
    def members(self) -> Bool[np.ndarray, " texts"]:
        """Which of the texts are trained on."""
        return np.arange(len(self.texts)) < self.options.num_texts

    def part(self, chosen: Bool[np.ndarray, " texts"]) -> data.Split:
        """Some of the texts, to train on."""
        tokens = self.tokens
        return training.text_split(Tokens(tokens.tokens[chosen], tokens.lengths[chosen]))


class FineTuned(NamedTuple):
    """What was seen of the run.

    Attributes:
        texts: One row per text, see `_table`.
        epochs: One row per epoch: loss, spread of nats.
        trained: How many numbers were trained.
    """

    texts: pl.DataFrame
    epochs: pl.DataFrame
    privacy: Privacy | None
    trained: int


def prepare(options: Options) -> Plan:
    """Loads model and texts."""
    asked_by = "--num-texts and --num-held-out"
    model = load_language_model(options.model)
    texts = choose_texts(
        options.texts,
        options.feature,
        options.num_all,
        asked_by,
        options.seed,
        read_as=beginning(model, options.cut_to),
    )
    with as_user_error(ValueError):
        context = model.config.context
        tokens = data.tokenize(texts, model.tokenizer, context, cut_to=options.cut_to)
    check_option(
        bool((tokens.lengths[: options.num_texts] > options.prefix).any()),
        f"--prefix {options.prefix}: no text to train on has more tokens, so that none can be "
        "extracted; choose a shorter one",
    )
    recipe = Recipe(
        "adam",
        options.learning_rate,
        cosine_decay=True,
        batch_size=options.batch_size,
        epochs=options.epochs,
        l2_norm_clip=options.l2_norm_clip,
    )
    return Plan(options, model, texts, tokens, options.trained_under.fitted(recipe))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> FineTuned:
    """Trains, and looks at what the model gives away of each text."""
    options, lm = plan.options, plan.language_model
    with steps.step("what the model knows before"):
        before = score_tokens(lm.model.apply, lm.params, plan.tokens)
    ready, trained = _ready(plan, options.num_texts), tuning_of(plan)
    history = History(directory.checkpoints / "history.jsonl")
    with steps.step("fine-tuning"):
        result = _train(plan, trained, ready, history, steps)
    with steps.step("what it knows after"):
        after = _scored(plan, trained, result)
    attacks = membership_scores(after, _said(plan), before)
    if options.references:
        attacks[LIRA] = _lira(plan, trained, after, steps)
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    table = _table(plan, ledger_of(result), before, after, attacks)
    return FineTuned(table, history.table(), ready.privacy, count)


def frames(plan: Plan, tuned: FineTuned) -> dict[str, pl.DataFrame]:
    """What was seen of every text, and after every epoch."""
    return {"per_text": tuned.texts, "epochs": tuned.epochs}


def tuning_of(plan: Plan) -> Tuning:
    """What the options ask to train."""
    key = jax.random.fold_in(jax.random.key(plan.options.seed), 1)
    return tuning(plan.language_model, plan.options.lora_rank, key)


def _ready(plan: Plan, num_texts: int, measure: bool = True) -> Training:
    """The defense, ready to train on so many texts."""
    options = plan.options
    every = options.audit_every if measure else 1
    everyone = np.ones(num_texts, bool)
    return prepare_training(
        options.trained_under, plan.recipe, everyone, options.relative_ridge, every, measure
    )


def _train(
    plan: Plan, trained: Tuning, ready: Training, history: History, steps: Steps
) -> training.TrainResult:
    options = plan.options
    with steps.set_aside() as console:

        def watch(epoch: int, result: training.TrainResult) -> None:
            nats = options.audit_every * np.asarray(ledger_of(result).nats)
            row = {"loss": float(np.mean(result.steps.loss)), **nats_spread(nats)}
            history.add(epoch, row)
            shown = "  ".join(f"{name} {value:.3g}" for name, value in row.items())
            line = f"epoch {epoch + 1} of {plan.recipe.epochs}: {shown}"
            console.print(line, highlight=False, soft_wrap=True)

        key = jax.random.key(options.seed)
        return _descend(plan, trained, ready, plan.members, key, watch)


def _descend(
    plan: Plan,
    trained: Tuning,
    ready: Training,
    chosen: Bool[np.ndarray, " texts"],
    key: PRNGKeyArray,
    callback: Callable[[int, training.TrainResult], None],
) -> training.TrainResult:
    """A fine-tuning on the chosen texts."""
    return training.train(
        trained.loss_fn,
        trained.params,
        plan.part(chosen),
        ready.make_optimizer(jax.random.fold_in(key, 2)),
        batch_size=plan.recipe.batch_size,
        epochs=plan.recipe.epochs,
        key=key,
        sampling=ready.sampling,
        shared=trained.shared,
        callback=callback,
    )


def _scored(plan: Plan, trained: Tuning, result: training.TrainResult) -> TokenScores:
    """What the model says of all texts after a fine-tuning."""
    params = training.released_params(result.params, result.opt_state)
    apply = plan.language_model.model.apply
    scores = score_tokens(apply, trained.released(params), plan.tokens)
    return converged(scores, plan.options.learning_rate)


def _lira(
    plan: Plan, trained: Tuning, after: TokenScores, steps: Steps
) -> Float[np.ndarray, " texts"]:
    """LiRA's scores, after fine-tuning references in the same way, but on other texts."""
    halves = halves_of(plan.options)

    def odds(index: int) -> Float[np.ndarray, " texts"]:
        ready = _ready(plan, int(halves[index].sum()), measure=False)
        key = jax.random.fold_in(jax.random.key(plan.options.seed), 4 + index)
        show = lambda epoch, _: steps.within(epoch + 1, plan.recipe.epochs)  # noqa: E731
        result = _descend(plan, trained, ready, halves[index], key, show)
        return _scored(plan, trained, result).log_odds

    names = [f"reference fine-tuning {i + 1} of {len(halves)}" for i in range(len(halves))]
    references = [steps.result(name, partial(odds, i)) for i, name in enumerate(names)]
    return lira_scores(after, np.array(references), halves)


def _said(plan: Plan) -> list[str]:
    """The texts, as far as the model reads them."""
    decode = plan.language_model.tokenizer.decode
    rows = zip(plan.tokens.tokens, plan.tokens.lengths)
    return [decode(row[:length].tolist()) for row, length in rows]


def _table(
    plan: Plan,
    ledger: Ledger,
    before: TokenScores,
    after: TokenScores,
    attacks: Mapping[str, Float[np.ndarray, " texts"]],
) -> pl.DataFrame:
    """One row per text: what the updates disclose (members), and what the model gives away.

    Every `audit_every`-th step was audited: totals are scaled up by it.
    """
    options, members = plan.options, plan.members
    totals, known = ledger_totals(ledger, options.audit_every), len(members) - options.num_texts

    def of_members(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.full(known, np.nan)])

    found, earlier = extract(after, options.prefix), extract(before, options.prefix)
    return pl.DataFrame(
        {
            "position": np.arange(len(members)),
            "text": _said(plan),
            "member": members,
            "tokens": plan.tokens.lengths,
            **{name: of_members(one) for name, one in totals.items()},
            "audited_steps": of_members(np.asarray(ledger.steps, float)),
            "loss_before": before.losses,
            "loss": after.losses,
            "suffix": found.suffix,
            "extracted_before": earlier.greedy,
            "extracted": found.greedy,
            "extracted_by_draws_before": earlier.within(options.draws),
            "extracted_by_draws": found.within(options.draws),
            "suffix_log_probability": found.log_probability,
            **{f"score_{name}": values for name, values in attacks.items()},
        }
    )
