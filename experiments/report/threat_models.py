"""Who attacks, in the words of the reports."""


def of_attacks(shadow_models: int) -> str:
    """The attacker of the measured membership attacks.

    Args:
        shadow_models: Models per seed; all but the target are its shadow models.
    """
    return (
        "Attacker of the measured attacks. Wants to know whether one given example was handed "
        "to the trainer. Has the trained model's outputs (logits) for any input, the example "
        "with its label, the training algorithm with the defense and all its settings, and "
        "the pool of examples from which a random half was drawn for training. Trains "
        f"{shadow_models - 1} shadow models per target on other random halves of that "
        "pool, with the same defense. Does not see the order of batches, intermediate models "
        "or gradients. Prior of membership: 1/2. This is a strong attacker among those with "
        "access to the final model, not the strongest possible: success measured here is a "
        "lower bound of what can be achieved."
    )


def of_predictions(relative_ridge: float) -> str:
    """The attacker whom nats and μ are about.

    Args:
        relative_ridge: Ridge of GNQ over the mean squared gradient norm of the batch.
    """
    return (
        "Attacker of the predictions (nats, μ). Sees every update, knows which examples may be "
        "in which batch and all gradients, and asks whether one example's gradient is in the "
        "sum (prior 1/2). Between the attacker and the sum stands Gaussian noise: DP-SGD's own "
        "for DP-SGD, an assumed one for every other defense, of variance ridge × 1/4 per "
        f"coordinate with ridge = {relative_ridge:g} × the mean squared gradient norm "
        "of the batch. All numbers of this kind hold under the Gaussian approximation of the "
        "other examples' sum. The choice of which gradients a gate, clip or budget changes is "
        "itself not accounted for."
    )
