"""What the numbers of a release card assume, and do not promise."""

from experiments.jobs.audit.options import Options
from experiments.membership.defenses import Privacy


def assumptions(options: Options, privacy: Privacy | None) -> list[str]:
    """The assumptions, one per entry; the card shows them, and `card.json` holds them."""
    ridge = (
        f"Ridge {options.relative_ridge:g} of the batch's mean squared gradient norm: the attacker "
        "is assumed to face noise of that variance (times p(1-p)). Less noise means more nats; "
        "without any, one full-precision update identifies its examples."
        if privacy is None
        else "The ridge is that of DP-SGD's own noise "
        f"(noise multiplier {privacy.noise_multiplier:.3f}, clip {privacy.l2_norm_clip:g}): no "
        "noise had to be assumed."
    )
    lines = [
        "Sees the published model: LiRA with as many shadow models as it takes, by someone who "
        "knows how the model was trained. Its success is predicted from the model's gradients "
        "and the gap between training and held-out examples, and not measured; intervals do not "
        "hold the error of this method. Several published models, and groups of examples, are "
        "not covered.",
        "Sees every update: knows all other examples too, and decides whether one given example "
        "took part.",
        ridge,
        "Gaussian approximation: the sum of the other examples' gradients is taken to be Gaussian. "
        "It is checked by simulation, not proven for this model.",
        "Inclusion probability p = 1/2, the attacker's prior. An example is charged in the steps "
        "in which it took part.",
        "What a data-dependent defense discloses by its choices, and what tuning on the same data "
        "discloses, is not counted.",
    ]
    if privacy is not None:
        lines.append(
            f"DP-SGD guarantees (ε = {privacy.epsilon:.3f}, δ = {privacy.delta:g}) for adding or "
            f"removing one example: Poisson sampling with rate {privacy.sampling_rate:.4f}, "
            f"{privacy.steps} steps. This holds for every attacker; the numbers above do not."
        )
    if options.audit_every > 1:
        lines.append(
            f"Only every {options.audit_every}th step was audited: nats and μ² were scaled by "
            f"{options.audit_every}. They are estimates, not bounds; an example that happened to "
            "take part between audits only shows zero."
        )
    return lines
