"""Laplacian noise on the whole update."""

from experiments.inversion.defenses._method import Method
from experiments.inversion.defenses._noise import ADAPTATION, MEANING, noisy
from gujax.defenses import laplacian_noise

METHOD = Method(
    position=50,
    label="Laplacian noise {:g}",
    build=lambda task, setting, strength: noisy(task, setting, laplacian_noise, strength),
    strength=1.0,
    meaning=MEANING,
    adaptations=(ADAPTATION,),
    by_default=False,
)
