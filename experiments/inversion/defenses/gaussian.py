"""Gaussian noise on the whole update."""

from experiments.inversion.defenses._method import Method
from experiments.inversion.defenses._noise import ADAPTATION, MEANING, noisy
from gujax.defenses import gaussian_noise

METHOD = Method(
    position=40,
    label="Gaussian noise {:g}",
    build=lambda task, setting, strength: noisy(task, setting, gaussian_noise, strength),
    strength=1.0,
    meaning=MEANING,
    adaptations=(ADAPTATION,),
)
