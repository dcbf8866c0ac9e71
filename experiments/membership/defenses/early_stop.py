"""Early stopping: plain SGD for so few epochs that little is remembered."""

from dataclasses import replace

from experiments.membership.defenses import sgd
from experiments.membership.defenses._method import Method, Strength
from experiments.tasks.recipe import Recipe


def shortened(strength: float, recipe: Recipe) -> Recipe:
    """The recipe with other epochs; a cosine falls to 0 within them."""
    return replace(recipe, epochs=int(strength))


METHOD = Method(
    label="early stop {:g}".format,
    color="#999999",
    start=sgd.METHOD.start,
    strength=Strength(
        "number of epochs",
        defaults=(2.0, 5.0),
        allowed=lambda epochs: epochs >= 1 and epochs == int(epochs),
        must="a whole number from 1 on",
    ),
    adapts=shortened,
    front="early stopping",
)
