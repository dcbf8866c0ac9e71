"""What is compared between layers and conditions."""

from typing import NamedTuple

import numpy as np


class Measure(NamedTuple):
    """A measure of what a layer leaks.

    Attributes:
        column: Its name in tables and results.
        label: Its name in figures.
        unit: Its unit; may be empty.
        log_scale: Whether ratios matter, not differences.
        nothing: What it is where nothing leaks; None if no value says so.
        limits: Least and greatest value that it can have.
    """

    column: str
    label: str
    unit: str = ""
    log_scale: bool = False
    nothing: float | None = None
    limits: tuple[float, float] = (-np.inf, np.inf)

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


INPUT_INFORMATION = Measure("input_mlp", "V-information: input", "nats", nothing=0.0)
SENSITIVITY = Measure(
    "sensitivity", "sensitivity to the input", log_scale=True, limits=(1e-9, np.inf)
)
RECOVERED_IMAGE = Measure("recovered", "SSIM, inversion of the layer", limits=(-1, 1))
RECOVERED_FEATURES = Measure("recovered", "1 − error, inversion of the layer")
ATTRIBUTE_INFORMATION = Measure("attribute_mlp", "V-information: attribute", "nats", nothing=0.0)
ATTACK = Measure("auc", "AUC, attribute inference", nothing=0.5, limits=(0, 1))
SUBSPACE = Measure("subspace", "subspace distance − shuffled", nothing=0.0, limits=(-1, 1))

SWEPT_ORIGINAL = (INPUT_INFORMATION, SENSITIVITY)
SWEPT_LATENT = (ATTRIBUTE_INFORMATION, ATTACK)
SWEPT = (*SWEPT_ORIGINAL, *SWEPT_LATENT)
LATENT = (*SWEPT_LATENT, SUBSPACE)


def recovery(is_image: bool) -> Measure:
    """How much of the input inversion recovers."""
    return RECOVERED_IMAGE if is_image else RECOVERED_FEATURES


def original(is_image: bool) -> tuple[Measure, ...]:
    """Measures of what is leaked about the input."""
    return (*SWEPT_ORIGINAL, recovery(is_image))


def shown(is_image: bool) -> tuple[Measure, ...]:
    """All measures, about the input first."""
    return (*original(is_image), *LATENT)
