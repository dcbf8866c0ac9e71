"""Gaussian noise on the whole update."""

from experiments.inversion.defenses import Method
from experiments.inversion.defenses._noise import ADAPTATION, MEANING, noisy
from gujax.defenses import gaussian_noise

METHOD = Method(
    position=40,
    label="Gaussian noise {:g}",
    build=noisy(gaussian_noise),
    strength=1.0,
    meaning=MEANING,
    adaptations=(ADAPTATION,),
)
