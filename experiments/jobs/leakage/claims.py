"""The claims about leakage by layer, held against what a run measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import interval
from experiments.jobs.leakage.measures import (
    LATENT,
    SWEPT_LATENT,
    SWEPT_ORIGINAL,
    Measure,
    original,
)

_SOURCE = "arXiv 2105.13929"

# Sweeps that a claim is about: its key, what lowers leakage, and where the paper says so.
_LOWERING = (
    ("batch_size", "leakage-aggregation", "Larger gradient aggregation (batch size)"),
    (
        "batch_size,mixed",
        "leakage-aggregation-mixed",
        "Larger gradient aggregation, where one example of the batch is the victim's,",
    ),
    ("dropout", "leakage-dropout", "Dropout"),
    ("noise", "leakage-noise", "Noise on the gradient, as in differential privacy,"),
)


def test_claims(summary: Mapping[str, Any], is_image: bool) -> list[Claim]:
    """Every claim that the run tests.

    Args:
        summary: What `analysis.summarize` returned.
        is_image: Whether recovery is measured by SSIM.
    """
    leading = summary["leading"]
    claims = [
        _claim(
            "leakage-first-layers",
            "The first layers leak most original information: the most leaking layer of the first "
            "half of the network exceeds that of the second half, in every measure.",
            original(is_image),
            leading["original"],
        ),
        _claim(
            "leakage-fully-connected",
            "The fully connected layers after the feature extractor leak most latent information: "
            "the most leaking of them exceeds the most leaking one before, in every measure.",
            LATENT,
            leading["latent"],
        ),
    ]
    for name, key, what in _LOWERING:
        if name not in summary["sweeps"]:
            continue
        levels = summary["sweeps"][name]["labels"]
        claims.append(
            _claim(
                key,
                f"{what} lowers both original and latent information: the mean over layers is "
                f"smaller at {levels[-1]} than at {levels[0]}, in every measure.",
                (*SWEPT_ORIGINAL, *SWEPT_LATENT),
                summary["falls"][name],
            )
        )
    return claims


def _claim(
    key: str, statement: str, measures: Sequence[Measure], effects: Mapping[str, Any]
) -> Claim:
    tested = [measure for measure in measures if measure.column in effects]
    texts = [f"{measure.label}: {_effect(measure, effects[measure.column])}" for measure in tested]
    measured = "; ".join(texts) or "this network has no fully connected layers after convolutions"
    return Claim(
        key,
        statement,
        _SOURCE,
        measured,
        verdict([interval(effects[measure.column]) for measure in tested]),
    )


def _effect(measure: Measure, effect: Mapping[str, Any]) -> str:
    """An effect in words; positive where the claim holds."""
    mean, low, high = (effect[name] for name in ("mean", "low", "high"))
    if measure.log_scale:
        return f"by a factor of {10**mean:.2f} [{10**low:.2f}, {10**high:.2f}]"
    unit = f" {measure.unit}" if measure.unit else ""
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{unit}"
