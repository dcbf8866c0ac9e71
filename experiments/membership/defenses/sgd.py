"""Plain SGD: what defenses are compared with."""

from experiments.membership.defenses._method import Method
from gujax import transforms

METHOD = Method(
    label="SGD".format,
    color="#222222",
    start=lambda _, place: transforms.mean(**place.measuring),
    front="early stopping",
)
