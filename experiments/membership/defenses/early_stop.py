"""Early stopping: plain SGD for so few epochs that little is remembered."""

from experiments.membership.defenses import sgd
from experiments.membership.defenses._method import Method, Strength
from gujax import transforms

METHOD = Method(
    label="early stop {:g}".format,
    color="#999999",
    start=lambda _, place: transforms.mean(**place.measuring),
    strength=Strength(
        "number of epochs",
        defaults=(2.0, 5.0),
        allowed=lambda epochs: epochs >= 1 and epochs == int(epochs),
        must="a whole number from 1 on",
    ),
    passes=int,
    front=sgd.METHOD.front,
)
