"""What the numbers about updates assume, and do not promise, in the words of release cards."""

from experiments.membership.defenses import Privacy


def assumed_of_updates(
    relative_ridge: float, audit_every: int, privacy: Privacy | None, unit: str
) -> list[str]:
    """One assumption per entry.

    Args:
        audit_every: Every so many steps were audited.
        privacy: What DP-SGD guarantees, if that was the defense.
        unit: What an example is: "example" or "text".
    """
    lines = [
        f"Ridge {relative_ridge:g} of the batch's mean squared gradient norm: whoever sees every "
        "update is assumed to face noise of that variance (times p(1-p)). Less noise means more "
        f"nats; without any, one full-precision update identifies its {unit}s."
        if privacy is None
        else "The ridge is that of DP-SGD's own noise (noise multiplier "
        f"{privacy.noise_multiplier:.3f}, clip {privacy.l2_norm_clip:g}): no noise had to be "
        "assumed.",
        f"Gaussian approximation: the sum of the other {unit}s' gradients is taken to be Gaussian. "
        "It is checked by simulation, not proven for this model.",
        f"Inclusion probability p = 1/2, the attacker's prior. The {unit} is charged in the steps "
        "in which it took part.",
        "What a data-dependent defense discloses by its choices, and what tuning on the same "
        f"{unit}s discloses, is not counted.",
    ]
    if privacy is not None:
        lines.append(
            f"DP-SGD guarantees (ε = {privacy.epsilon:.3f}, δ = {privacy.delta:g}) for adding or "
            f"removing one {unit}: Poisson sampling with rate {privacy.sampling_rate:.4f}, "
            f"{privacy.steps} steps. This holds for every attacker; the numbers above do not."
        )
    if audit_every > 1:
        lines.append(
            f"Only every {audit_every}th step was audited: nats and μ² were scaled by "
            f"{audit_every}. They are estimates, not bounds; what happened to take part between "
            "audits only shows zero."
        )
    return lines
