"""Laplacian noise on the whole update."""

from experiments.inversion.defenses import Method
from experiments.inversion.defenses._noise import ADAPTATION, MEANING, noisy
from gujax.defenses import laplacian_noise

METHOD = Method(
    position=50,
    label="Laplacian noise {:g}",
    build=noisy(laplacian_noise),
    strength=1.0,
    meaning=MEANING,
    adaptations=(ADAPTATION,),
    by_default=False,
)
