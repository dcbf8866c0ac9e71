"""Hyperparameters of training, as a search found them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import optax
from jax.typing import ArrayLike

from experiments.framework.errors import UserError, check_option

OptimizerName = Literal["momentum", "adam"]
_FALLBACK = "digits"


@dataclass(frozen=True)
class Recipe:
    """How one defense trains.

    Attributes:
        optimizer: "momentum" (SGD with momentum 0.9) or "adam".
        cosine_decay: Whether the learning rate falls to 0 along a cosine; else it is constant.
        batch_size: Examples per batch; expected number under Poisson sampling.
        l2_norm_clip: Clipping norm of DP-SGD; None for every other defense.
        augmentation_multiplicity: Random copies of an image, whose mean loss is the example's; 0
            for the image itself.
        shift: Their largest shift, in pixels.
        flip: Whether left and right of a copy may be exchanged.
        average_decay: Decay of the moving average of the parameters that is evaluated; 0 for the
            last parameters.
        standardize_weights: Whether kernels of convolutions are standardized.
    """

    optimizer: OptimizerName
    learning_rate: float
    cosine_decay: bool
    batch_size: int
    epochs: int
    l2_norm_clip: float | None = None
    augmentation_multiplicity: int = 0
    shift: int = 0
    flip: bool = False
    average_decay: float = 0.0
    standardize_weights: bool = False

    @property
    def augments(self) -> bool:
        """Whether training sees random copies of an image instead of the image."""
        return self.augmentation_multiplicity > 0


@dataclass(frozen=True)
class RecipeBook:
    """Recipes by defense, and where they come from.

    Attributes:
        recipes: `"sgd"`, `"gate"`, `"clip"`, `"dp_sgd eps=2"`, … to `Recipe`.
        search: The whole record of the search, as read.
    """

    recipes: Mapping[str, Recipe]
    dataset: str
    search: Mapping

    def find(
        self,
        family: str,
        strength: float | None = None,
        epochs: int | None = None,
        like: str = "sgd",
    ) -> Recipe:
        """The recipe of a defense.

        Args:
            family: Its family.
            strength: Of several that were tuned for one family ("dp_sgd eps=2"), the recipe of the
                nearest is taken.
            epochs: Passes over the data that are meant; of several recipes that were tuned for
                different numbers ("sgd epochs=2"), that of the nearest. None for the best of all.
            like: Family as which it trains where it has no search of its own; where that has none
                either, it trains as plain SGD.

        Raises:
            UserError: No recipe for this family.
        """
        of_family: dict[str, list[str]] = {}
        for key in self.recipes:
            of_family.setdefault(key.split(" ")[0], []).append(key)
        keys = of_family.get(family) or of_family.get(like) or of_family.get("sgd", [])
        for name, wanted in (("eps", strength), ("epochs", epochs)):
            tuned = {key: at for key in keys if (at := _number(key, name)) is not None}
            if tuned and wanted is not None:
                nearest = min(tuned.values(), key=lambda at: abs(np.log(at / wanted)))
                keys = [key for key, at in tuned.items() if at == nearest]
            elif name == "epochs":
                keys = [key for key in keys if key not in tuned]
        if not keys:
            raise UserError(f"the recipes hold none for '{family}'; run the `tune` job")
        return self.recipes[keys[0]]


def recipe_key(family: str, epsilon: float | None = None, epochs: int | None = None) -> str:
    """Name of a defense's recipe in the file; the best of all numbers of epochs has none in it."""
    key = family if epsilon is None else f"{family} eps={epsilon:g}"
    return key if epochs is None else f"{key} epochs={epochs}"


def _number(key: str, name: str) -> float | None:
    """The number behind a name in a key such as "dp_sgd eps=8 epochs=5"."""
    parts = dict(part.split("=") for part in key.split(" ")[1:])
    return float(parts[name]) if name in parts else None


def fit(recipe: Recipe, num_members: int, epochs: int | None = None) -> Recipe:
    """The recipe for one run: batches at most as large as the training set, and epochs if given."""
    return replace(
        recipe,
        batch_size=min(recipe.batch_size, num_members),
        epochs=recipe.epochs if epochs is None else epochs,
    )


def check_plain(recipe: Recipe, of: str) -> None:
    """Checks that a recipe uses none of the practices that only the comparison of defenses knows.

    Raises:
        UserError: It augments, averages or standardizes; `of` says whose it is, in words.
    """
    check_option(
        not (recipe.augments or recipe.average_decay or recipe.standardize_weights),
        f"the recipe for {of} augments, averages or standardizes, which this study does not; give "
        "other --recipes",
    )


def load_recipes(dataset: str, path: Path | None = None) -> RecipeBook:
    """Reads recipes.

    Args:
        path: File written by the `tune` job. None reads those that come with the package: the
            data set's own if there are any, else those tuned on digits. A second file adds what
            was searched for at few epochs, on which fronts are drawn; of what both have, the more
            accurate is taken.

    Raises:
        UserError: The file cannot be read.
    """
    if path is None:
        texts = _packaged(dataset) or _packaged(_FALLBACK)
    else:
        try:
            texts = [path.read_text()]
        except OSError as error:
            raise UserError(f"cannot read --recipes {path}: {error.strerror}") from error
    try:
        record = _joined([json.loads(text) for text in texts])
        recipes = {key: Recipe(**entry) for key, entry in record["recipes"].items()}
        return RecipeBook(recipes, record["dataset"], record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--recipes {path} is not a file written by the `tune` job") from error


def _packaged(dataset: str) -> list[str]:
    """The searches that come with the package."""
    folder = resources.files("experiments.tasks") / "recipes"
    files = [folder / f"{dataset}{kind}.json" for kind in ("", "_few_epochs")]
    return [file.read_text() for file in files if file.is_file()]


def _joined(records: Sequence[Mapping]) -> dict:
    """Searches as one; of what several have found, the most accurate."""
    joined = dict(records[0])
    for later in records[1:]:
        better = {
            key
            for key, found in later["accuracy"].items()
            if found > joined["accuracy"].get(key, 0)
        }
        for name in ("recipes", "accuracy"):
            joined[name] = {**joined[name], **{key: later[name][key] for key in better}}
        joined["tried"] = dict(Counter(joined["tried"]) + Counter(later["tried"]))
        for name in ("command", "selected_by"):
            joined[name] = f"{joined[name]}; {later[name]}"
    return joined


def descent(
    optimizer: OptimizerName, learning_rate: ArrayLike, final_factor: ArrayLike, num_steps: int
) -> optax.GradientTransformation:
    """The optimizer that follows the aggregation, for a run of so many steps.

    The learning rate, and its final value over the initial one along a cosine (1 for a constant
    rate, 0 for full decay), may be traced.
    """

    def rate(step):
        cosine = optax.cosine_decay_schedule(1.0, num_steps)(step)
        return learning_rate * (final_factor + (1 - final_factor) * cosine)

    if optimizer == "momentum":
        return optax.sgd(rate, momentum=0.9)
    return optax.adam(rate)


def descent_of(recipe: Recipe, num_steps: int) -> optax.GradientTransformation:
    """The optimizer of a recipe, for a run of so many steps; it follows the aggregation."""
    return descent(recipe.optimizer, recipe.learning_rate, 1.0 - recipe.cosine_decay, num_steps)
