"""Options of jobs that attack shared updates."""

from typing import Annotated

from annotated_types import Ge, Lt

from experiments.framework.options import Count, RunOptions, options


@options
class InversionOptions(RunOptions):
    """Options that such jobs share.

    Attributes:
        seeds: Independent repeats; intervals are over them.
        victims: Examples attacked per seed.
        iterations: Steps of each search by Inverting Gradients; default: what suits the model.
        bottleneck_before: Layer before which PRECODE is put; default: the last one.
        early_bottleneck_before: Layer before which CVB is put; default: the second one.
        ssim_threshold: SSIM above which an image counts as reconstructed.
    """

    seeds: Count = 3
    victims: Count = 16
    iterations: Count | None = None
    bottleneck_before: str | None = None
    early_bottleneck_before: str | None = None
    ssim_threshold: Annotated[float, Ge(-1), Lt(1)] = 0.6
