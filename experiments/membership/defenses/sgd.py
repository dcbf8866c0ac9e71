"""Plain SGD: what defenses are compared with."""

from experiments.membership.defenses._method import Method, Place
from gujax import transforms


def start(strength: None, place: Place):
    """The mean gradient; `gujax.transforms.mean`."""
    return transforms.mean(**place.measuring)


METHOD = Method(label="SGD".format, color="#222222", start=start)
