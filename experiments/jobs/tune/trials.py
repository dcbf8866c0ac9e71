"""What the search tries."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

from experiments.jobs.tune.options import Options
from experiments.membership.defenses import Defense
from experiments.tasks.recipe import OptimizerName, Recipe

# What one compilation may vary: numbers that travel with the parameters.
_NUMBERS: dict[str, Any] = {
    "learning_rate": 0.0,
    "cosine_decay": False,
    "l2_norm_clip": None,
    "average_decay": 0.0,
}


@dataclass(frozen=True)
class Trial:
    """Configurations that one compilation tries at once: they differ in numbers only."""

    defense: Defense
    recipes: list[Recipe]

    @property
    def description(self) -> str:
        """What its recipes share."""
        first = self.recipes[0]
        return (
            f"{first.optimizer}, batch {first.batch_size}, {first.epochs} epochs"
            + (f", {first.augmentation_multiplicity} copies" if first.augments else "")
            + (", standardized weights" if first.standardize_weights else "")
        )


class Row(NamedTuple):
    """One configuration and its mean accuracy."""

    defense: Defense
    recipe: Recipe
    accuracy: float


def all_trials(options: Options) -> Iterator[Trial]:
    """The whole search."""
    decays = (0.0, options.average_decay) if options.average_decay else (0.0,)
    for defense in options.chosen:
        clips: tuple[float | None, ...] = (None,)
        sizes: tuple[int, ...] = (options.batch_size,)
        epochs: tuple[int, ...] = options.epochs
        rates, copies = options.learning_rates, options.multiplicities
        if defense.method.account is not None:
            rates, clips = options.dp_learning_rates, options.dp_clips
            sizes, epochs = options.dp_batch_sizes, options.dp_epochs
            copies = options.dp_multiplicities
        for optimizer, practice, size, passes in itertools.product(
            get_args(OptimizerName), practices(options, copies), sizes, epochs
        ):
            yield Trial(
                defense,
                [
                    Recipe(
                        optimizer,
                        # Adam's steps do not depend on the scale of the gradient.
                        0.01 * step if optimizer == "adam" else step / (clip or 1.0),
                        cosine,
                        size,
                        passes,
                        clip,
                        average_decay=decay,
                        **practice,
                    )
                    for step, clip, cosine, decay in itertools.product(
                        rates, clips, (False, True), decays
                    )
                ],
            )


def practices(options: Options, multiplicities: Sequence[int]) -> list[dict[str, Any]]:
    """What a method tries beside numbers: augmentation and standardized weights."""
    copies = {"shift": options.shift, "flip": options.flip}
    augmentations: list[dict[str, Any]] = [
        {"augmentation_multiplicity": count, **(copies if count else {})}
        for count in multiplicities
    ]
    return [
        {**augmentation, "standardize_weights": standardize}
        for augmentation, standardize in itertools.product(
            augmentations, options.standardize_weights
        )
    ]


def final_trials(search: Sequence[Row], options: Options) -> list[Trial]:
    """The most accurate configurations of each defense, those of one compilation together.

    Each number of epochs has finalists of its own.
    """
    trials: dict[tuple, Trial] = {}
    for defense, epochs in dict.fromkeys((row.defense, row.recipe.epochs) for row in search):
        tried = [row for row in search if (row.defense, row.recipe.epochs) == (defense, epochs)]
        for row in sorted(tried, key=lambda row: -row.accuracy)[: options.finalists]:
            shared = defense, replace(row.recipe, **_NUMBERS)
            trials.setdefault(shared, Trial(defense, [])).recipes.append(row.recipe)
    return list(trials.values())
