"""What the study does: gradients of every statement under the published model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int, PyTree

from experiments.framework.errors import as_user_error, check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.facts.options import Options
from experiments.jobs.facts.statements import Facts, of_folder, swapped
from experiments.tasks.language import layer_groups, load_language_model
from gujax import data, gram_by_blocks, models, training
from gujax.attacks.texts import score_tokens

SWAPPED, FOLDER = "swapped", "folder"
_SAME_LENGTH = 8  # statements are padded to multiples of so many tokens


class Plan(NamedTuple):
    """Which statements are measured.

    Attributes:
        facts: Of every source, those of each seed.
        tokens: The same as the model reads them: the true ones of a seed, then the made-up ones.
    """

    options: Options
    language_model: models.LanguageModel
    facts: Mapping[str, Sequence[Facts]]
    tokens: Mapping[str, Sequence[data.Tokens]]

    @property
    def num_steps(self) -> int:
        """One per checkpoint, source and seed."""
        return len(self.checkpoints) * sum(map(len, self.facts.values()))

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The model, then the earlier ones."""
        return (self.options.model, *self.options.checkpoints)


class Scored(NamedTuple):
    """What is known of the 2 F statements of a seed, true ones first.

    Attributes:
        grams: Gram matrix of the gradients of the mean loss at every checkpoint, by group of
            parameters, [C, 2 F, 2 F]; that of the model is the first.
        loss: Mean loss over the predicted tokens under the model, [2 F], nats.
        tokens: Number of tokens, [2 F].
    """

    grams: Mapping[str, Float[np.ndarray, "checkpoints statements statements"]]
    loss: Float[np.ndarray, " statements"]
    tokens: Int[np.ndarray, " statements"]


def prepare(options: Options) -> Plan:
    """Loads model and statements."""
    sources = {SWAPPED: swapped(options.seed)}
    if options.facts is not None:
        sources[FOLDER] = of_folder(options.facts, options.seed)
    wanted = options.num_facts * options.seeds
    facts = {}
    for name, all_facts in sources.items():
        where = f"--facts {options.facts} has" if name == FOLDER else "there are"
        check_option(
            len(all_facts) >= wanted,
            f"{where} {len(all_facts)} facts, --num-facts {options.num_facts} and --seeds "
            f"{options.seeds} ask for {wanted}; ask for fewer",
        )
        order = np.random.default_rng(options.seed).permutation(len(all_facts))[:wanted]
        facts[name] = [all_facts.part(part) for part in np.split(order, options.seeds)]
    lm = load_language_model(options.model)
    for name in options.checkpoints:
        check_option(
            name != options.model and load_language_model(name).config == lm.config,
            f"--checkpoints {name} must be another checkpoint of --model {options.model}, of the "
            "same architecture and sizes",
        )
    of_seeds = [of_seed for of_source in facts.values() for of_seed in of_source]
    statements = [form for of_seed in of_seeds for side in of_seed for form in side]
    with as_user_error(ValueError):
        texts = data.tokenize(statements, lm.tokenizer, lm.config.context)
    # Of one width, a multiple: the same programs then serve all seeds.
    width = min(-(-texts.tokens.shape[1] // _SAME_LENGTH) * _SAME_LENGTH, lm.config.context)
    padded = np.pad(texts.tokens, ((0, 0), (0, width - texts.tokens.shape[1])))
    parts = iter(np.split(np.arange(len(texts)), len(of_seeds)))
    tokens = {
        name: [data.Tokens(padded[rows], texts.lengths[rows]) for _, rows in zip(of_source, parts)]
        for name, of_source in facts.items()
    }
    return Plan(options, lm, facts, tokens)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> dict[str, list[Scored]]:
    """Gradients and losses of every source and seed."""
    lm = plan.language_model
    loss_fn = training.next_token_loss(lm.model.apply)
    group_of = layer_groups(lm.config.layers, plan.options.layer_parts)

    def grams(params: PyTree, texts: data.Tokens) -> dict[str, np.ndarray]:
        buckets = data.bucket_by_length(texts, _SAME_LENGTH)
        back = np.argsort(np.concatenate([bucket.positions for bucket in buckets]))
        found = gram_by_blocks(
            loss_fn,
            params,
            [(bucket.texts.tokens, bucket.texts.lengths) for bucket in buckets],
            block_size=plan.options.block_size,
            group_of=group_of,
            gram_way="inner",  # few positions: cheaper than multiplying out
            directory=directory.checkpoints / "grams",
            callback=steps.within,
        )
        return {name: K[np.ix_(back, back)] for name, K in found.items()}

    sets = [
        (f"{source} statements, seed {seed}", source, tokens)
        for source, of_seeds in plan.tokens.items()
        for seed, tokens in enumerate(of_seeds)
    ]
    of_checkpoints = []
    for name in plan.checkpoints:
        params = lm.params if name == plan.options.model else load_language_model(name).params
        of_sets = []
        for words, _, tokens in sets:
            with steps.step(f"gradients: {words}, {Path(name).name}"):
                of_sets.append(grams(params, tokens))
        of_checkpoints.append(of_sets)
    scored: dict[str, list[Scored]] = {source: [] for source in plan.tokens}
    for (_, source, tokens), found in zip(sets, zip(*of_checkpoints)):
        stacked = {group: np.stack([K[group] for K in found]) for group in found[0]}
        losses = score_tokens(lm.model.apply, lm.params, tokens).losses
        scored[source].append(Scored(stacked, losses, tokens.lengths))
    return scored


def squared_norms(
    grams: Float[np.ndarray, "checkpoints statements statements"],
) -> Float[np.ndarray, " statements"]:
    """Squared norms of the gradients, summed over checkpoints: TracIn of a statement on itself."""
    return np.einsum("cii->i", grams)


def frames(plan: Plan, scored: Mapping[str, Sequence[Scored]]) -> dict[str, pl.DataFrame]:
    """Every statement, with what is known of it by itself."""
    parts = []
    for source, of_seeds in scored.items():
        for seed, (one, facts) in enumerate(zip(of_seeds, plan.facts[source])):
            norms = {f"squared_norm, {name}": squared_norms(K) for name, K in one.grams.items()}
            columns = {
                "source": source,
                "seed": seed,
                "statement": facts.true + facts.made_up,
                "made_up": np.repeat([False, True], len(facts)),
                "tokens": one.tokens,
                "loss": one.loss,
                "squared_norm": sum(norms.values()),
                **norms,
            }
            parts.append(pl.DataFrame(columns))
    return {"statements": pl.concat(parts)}
