"""The models of a seed, and what they say about every example."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.jobs.monotone.estimators import Estimator
from experiments.membership.attacks import Outputs, auc_per_example
from gujax.attacks.membership import auc_of_examples, evaluate_attack

SUCCESS = {
    "lira_auc": "LiRA: AUC per example",
    "loss_auc": "loss alone: AUC per example",
    "lira_success": "LiRA: share of right guesses",
    "loss_success": "loss threshold: share of right guesses",
    "loss_found": "loss threshold: share of members found",
}

# Success that is calibrated to each example, not by one threshold for all.
PER_EXAMPLE = ("lira_auc", "loss_auc")

VARIABLES = {
    "gradient_norm": "squared gradient norm, summed over the run",
    "member_loss": "loss under models trained on it",
    "held_out_loss": "loss under models not trained on it",
}


class SeedRun(NamedTuple):
    """M models of one seed.

    Attributes:
        members: examples that each model was trained on, [M, N].
        measured: for each estimator, its total for each model and member, [M, N]; 0 elsewhere.
        appearances: in how many batches each example was, [M, N].
    """

    members: Bool[np.ndarray, "models examples"]
    measured: dict[Estimator, Float[np.ndarray, "models examples"]]
    appearances: Int[np.ndarray, "models examples"]
    outputs: Outputs


Examples = dict[str, Float[np.ndarray, " examples"]]
"""What is known of every example, by name."""


def per_example(run: SeedRun) -> Examples:
    """What one seed says about every example.

    Returns:
        Each [N], by name. For each name of `SUCCESS` what the attack reaches on the example, for
        each of `VARIABLES` a mean over models, and by the label of each estimator its mean total
        over the models trained on the example. "doubted": share of models not trained on the
        example that give its label less than 1/2; mislabelled or atypical examples have a large
        one. "appearances": mean number of batches that held the example, over the models trained on
        it.
    """
    members = run.members
    lira, loss = run.outputs.scores["lira"], run.outputs.scores["loss"]
    threshold = evaluate_attack(loss, members, num_resamples=0)
    uniqueness = {e: total.mean(axis=0, where=members) for e, total in run.measured.items()}
    return {
        # Not from LiRA's scores, by which examples that leak nothing get less than 0.5.
        "lira_auc": auc_of_examples(run.outputs.margin, members),
        "loss_auc": auc_per_example(loss, members),
        "lira_success": evaluate_attack(lira, members, num_resamples=0).success,
        "loss_success": threshold.success,
        "loss_found": (loss >= threshold.threshold).mean(axis=0, where=members),
        "gradient_norm": next(v for e, v in uniqueness.items() if e.kind == "norm"),
        "member_loss": (-loss).mean(axis=0, where=members),
        "held_out_loss": (-loss).mean(axis=0, where=~members),
        "doubted": (loss < np.log(0.5)).mean(axis=0, where=~members),
        "appearances": run.appearances.mean(axis=0, where=members),
        **{estimator.label: values for estimator, values in uniqueness.items()},
    }
