"""Every number of the study, from its runs."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats
from scipy.special import expit

import gujax
from experiments.framework.results import Entry, Key, entry
from experiments.jobs.prediction.measure import Plan, Run, measured_shift, shifts
from experiments.membership.attacks import measures, spares_complements
from gujax.attacks import membership

LEVELS = ("auc", "tpr_at_1pct", "tpr_at_01pct")
RATES = (0.01, 0.001)
REFERENCES = (1, 2, 4)  # reference models of the rivals
TOPS = {"top_1pct": 0.01, "top_5pct": 0.05}
_GROUPS = 4  # of models, over which the intervals of measured attacks are
_GRID = 200  # of values of μ
_STEPS = 300  # of expectation maximization

Vector = Float[np.ndarray, "examples"]


def analyze(plan: Plan, runs: Mapping[str, Run]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: setting, role, and method: who attacks or predicts. Values of measured attacks are over
    groups of models, those of predictions over targets.
    """
    for trainer in plan.trainers:
        setting = trainer.setting
        place: dict[str, Key] = {"setting": setting.name, "role": setting.role}
        yield from of_setting(runs[setting.name], place, setting.label_smoothing > 0)


def of_setting(run: Run, place: Mapping[str, Key], both_ways: bool) -> Iterator[Entry]:
    """All entries of one setting.

    Args:
        run: The setting's models and predictions.
        place: Keys of its entries.
        both_ways: Whether training moves signals down as well as up, so that size is exposure.
    """
    models = len(run.members)
    targets = range(len(run.targets))
    yield entry("test_accuracy", run.test_accuracy, **place)
    yield entry("pool", run.members.shape[1], **place)
    yield entry("reliability", reliability(run), **place)
    scores = _attacks(run)
    for attack, of_attack in scores.items():
        parts = [measures(of_attack[rows], run.members[rows]) for rows in _groups(models)]
        for measure in LEVELS:
            yield entry(measure, [part[measure] for part in parts], **place, method=attack)
        yield from _cost(run, place, attack, models - 1, 0.0)
    for measure, value in zip(LEVELS, with_perfect_knowledge(run.phi, run.members, both_ways)):
        yield entry(measure, value, **place, method="measured d and s")

    predicted = run.predicted
    refused = predicted.refusal != ""
    yield entry("refused", refused, **place, method="prediction")
    for index, measure in enumerate(LEVELS):
        for end, suffix in enumerate(("", "_low", "_high")):
            values = predicted.level[:, index, end]
            yield entry(f"{measure}{suffix}", values, **place, method="prediction")
        yield entry(measure, predicted.equal_shift[:, index], **place, method="gap alone")
    for measure, rate in zip(LEVELS[1:], RATES):
        tails = [tail(run, index, rate) for index in targets]
        yield entry(measure, tails, **place, method="tail")
    yield entry("ridge", predicted.ridge, **place, method="prediction")
    yield entry("deviation", predicted.deviation, "nats", **place, method="prediction")
    yield entry("deviation", deviation(run.phi, run.members), "nats", **place, method="measured")
    yield entry("shift", predicted.gap, "nats", **place, method="gap alone")
    yield entry("shift", shifts(run.phi, run.members).mean(), "nats", **place, method="measured")

    for name, of_rival in _by_rival([evidence(run, index) for index in targets]).items():
        parts = [
            measures(scores[None], run.members[target][None])
            for scores, target in zip(of_rival, run.targets[:, 0])
        ]
        for measure in LEVELS:
            yield entry(measure, [part[measure] for part in parts], **place, method=name)
    for name, of_rival in _by_rival([exposures(run, index) for index in targets]).items():
        found = [_ranking(run, index, values, both_ways) for index, values in enumerate(of_rival)]
        for measure in ("spearman", *TOPS):
            yield entry(measure, [one[measure] for one in found], **place, method=name)
    for name, trainings, seconds in costs(run):
        yield from _cost(run, place, name, trainings, seconds)


def _attacks(run: Run) -> dict[str, Float[np.ndarray, "models examples"]]:
    """The attacks with all shadow models."""
    phi, members, population = run.phi, run.members, expit(run.population)
    complements = spares_complements(members)
    return {
        "LiRA": membership.lira(phi, members, complements=complements),
        "RMIA": membership.rmia(expit(phi), members, population, complements=complements),
    }


def _groups(models: int) -> np.ndarray:
    """Models with their complements, dealt to groups."""
    half = models // 2
    return np.array([np.r_[i:half:_GROUPS, half + i : models : _GROUPS] for i in range(_GROUPS)])


def deviation(
    phi: Float[np.ndarray, "models examples"], members: Bool[np.ndarray, "models examples"]
) -> float:
    """s as measured: pooled over examples and both sides."""
    sides = [(side, phi.mean(0, where=side)) for side in (members, ~members)]
    squares = sum(np.sum(np.square(phi - mean), where=side) for side, mean in sides)
    return float(np.sqrt(squares / (phi.size - 2 * phi.shape[1])))


def with_perfect_knowledge(
    phi: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    both_ways: bool = False,
) -> Float[np.ndarray, "3"]:
    """AUC and TPRs of an attacker who knows every shift and the deviation exactly.

    Measured shifts carry an error that would count as exposure. So μ = d/s, ≥ 0 unless training
    moves signals both ways, is taken from the distribution under which the measured ones, μ plus
    noise of known variance, are most likely (Kiefer and Wolfowitz 1956), found by expectation
    maximization.
    """
    s = deviation(phi, members)
    measured = shifts(phi, members) / s
    if not both_ways:
        measured = np.maximum(measured, -5.0)
    inside = members.sum(axis=0)
    error = np.sqrt(1 / inside + 1 / (len(members) - inside))
    least = min(measured.min(), -1.0) if both_ways else 0.0
    grid = np.linspace(least, max(measured.max(), 1.0), _GRID)
    likelihood = np.exp(-np.square((measured[:, None] - grid) / error[:, None]) / 2)
    likelihood /= likelihood.max(axis=1, keepdims=True)
    weights = np.full(_GRID, 1 / _GRID)
    for _ in range(_STEPS):
        weights *= (likelihood / (likelihood @ weights)[:, None]).mean(axis=0)
    attack = gujax.predict_attack(grid, 1.0, weights=weights)
    return np.array([attack.auc, *attack.tpr(np.array(RATES))])


def tail(run: Run, index: int, fpr: float) -> float:
    """TPR at an FPR of LiRA, estimated from the tail of the losses (arXiv 2510.19773).

    The true negative rate of the loss attack where its false negative rate is that FPR: the share
    of held-out examples with a larger loss than all but so many members have.
    """
    target = run.targets[index, 0]
    phi, inside = run.phi[target], run.members[target]
    return float(np.mean(phi[~inside] < np.quantile(phi[inside], fpr)))


def reliability(run: Run) -> float:
    """Spearman correlation of the shifts that two halves of the models measure."""
    half = len(run.members) // 2
    rows = np.r_[: half // 2, half : half + half // 2]  # with their complements
    other = np.setdiff1d(np.arange(2 * half), rows)
    one, two = (shifts(run.phi[part], run.members[part]) for part in (rows, other))
    return float(stats.spearmanr(one, two).statistic)


def evidence(run: Run, index: int) -> dict[str, Vector]:
    """Scores by which attackers with few models or none tell members of a target, by method."""
    target, members = run.targets[index, 0], run.members
    found = {"loss": run.phi[target]}
    for count in REFERENCES:
        chosen = references(run, index, count)
        phi, known = run.phi[chosen], _without(members[chosen])
        found[f"LiRA, {count}"] = run.phi[target] - phi.mean(0, where=known)
        # Twice the same where there is one: averages are the same, and the function takes three.
        rows = np.r_[target, chosen, chosen]
        sides = np.concatenate([members[target][None], ~known, ~known])
        of_target = membership.rmia(
            expit(run.phi[rows]), sides, expit(run.population[rows]), mode="offline"
        )
        found[f"RMIA, {count}"] = of_target[0]
    return found


def _without(members: Bool[np.ndarray, "models examples"]) -> Bool[np.ndarray, "models examples"]:
    """Which references stand for models trained without an example: all, where none was."""
    return ~members | members.all(axis=0)


def references(run: Run, index: int, count: int) -> np.ndarray:
    """Models that a rival trains: neither the target, nor its reruns, nor their complements."""
    half = len(run.members) // 2
    taken = run.targets[index]
    free = np.setdiff1d(np.arange(2 * half), np.r_[taken, (taken + half) % (2 * half)])
    return np.random.default_rng(index).permutation(free)[:count]


def exposures(run: Run, index: int) -> dict[str, Vector]:
    """By what each method orders the members of a target, most exposed first."""
    target = run.targets[index, 0]
    scores = evidence(run, index)
    del scores["loss"]
    return {
        "prediction": np.abs(run.predicted.shift[index]),
        "loss": -run.phi[target],
        "gradient norm": run.gradients.norm[index],
        "self-influence": run.gradients.self_influence[index],
        "last-layer leverage": run.gradients.leverage[index],
        "nats": run.tracked.nats[index],
        "LT-IQR": run.tracked.spread[index],
        **scores,
    }


def _ranking(run: Run, index: int, values: Vector, both_ways: bool) -> dict[str, float]:
    """How well values order the members of a target by measured shift, or by its size."""
    inside = run.members[run.targets[index, 0]]
    measured, values = measured_shift(run, index)[inside], values[inside]
    if both_ways:
        measured = np.abs(measured)
    if np.isnan(values).any():
        return dict.fromkeys(("spearman", *TOPS), float("nan"))
    found = {"spearman": float(stats.spearmanr(values, measured).statistic)}
    for name, share in TOPS.items():
        count = max(round(share * len(values)), 1)
        tops = (set(np.argsort(-one, kind="stable")[:count]) for one in (values, measured))
        found[name] = len(set.intersection(*tops)) / count
    return found


def costs(run: Run) -> Iterator[tuple[str, int, float]]:
    """Trainings and seconds beyond the published model's own, of each method for one target."""
    predicted, gradients = run.predicted, run.gradients
    reruns = run.targets.shape[1] - 1
    yield "prediction", reruns, float(predicted.seconds.mean())
    yield "gap alone", reruns, 0.0
    yield "tail", 0, 0.0
    yield "loss", 0, 0.0
    yield "gradient norm", 0, float(gradients.norm_seconds.mean())
    yield "self-influence", 0, float(gradients.self_influence_seconds.mean())
    yield "last-layer leverage", 0, float(gradients.leverage_seconds.mean())
    for name in ("nats", "LT-IQR"):
        yield name, 0, float(run.tracked.seconds)
    for count in REFERENCES:
        yield f"LiRA, {count}", count, 0.0
        yield f"RMIA, {count}", count, 0.0


def _cost(
    run: Run, place: Mapping[str, Key], method: str, trainings: int, seconds: float
) -> Iterator[Entry]:
    yield entry("trainings", trainings, **place, method=method)
    total = trainings * float(run.seconds) + seconds
    yield entry("seconds", total, "s", **place, method=method)


def _by_rival(of_targets: list[dict[str, Vector]]) -> dict[str, list[Vector]]:
    return {name: [found[name] for found in of_targets] for name in of_targets[0]}
