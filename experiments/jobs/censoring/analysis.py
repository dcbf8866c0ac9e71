"""What `censoring` measured on one data set."""

from collections.abc import Sequence
from typing import Any

from experiments.jobs.censoring.cases import Case
from experiments.membership.measured import attacks, describe
from experiments.membership.runs import DefenseRun


def summarize(case: Case, results: Sequence[DefenseRun]) -> dict[str, Any]:
    """Accuracy and attacks of every defense, as JSON types.

    Removed points count as members under "attacks". "on_kept" leaves out the pairs of model and
    example that one fraction of censoring removed, from the attack on *every* defense: only so do
    they decide about the same pairs.

    Args:
        case: Data and model.
        results: All defenses; plain SGD first.
    """
    train, test = case.task.dataset.train, case.task.dataset.test
    return {
        "train_size": len(train),
        "test_size": len(test),
        "model": case.task.model_name,
        "shadow_models": case.sizes.shadow_models,
        "defenses": {result.defense.label: describe(result) for result in results},
        "on_kept": {
            censored.defense.label: {
                result.defense.label: attacks(result, [~run.removed for run in censored.seeds])
                for result in results
                if result.defense.family != "censor" or result is censored
            }
            for censored in results
            if censored.defense.family == "censor"
        },
    }
