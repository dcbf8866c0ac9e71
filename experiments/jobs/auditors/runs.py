"""DP-SGD with canaries, seen by every auditor."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

import gujax
from experiments.jobs.auditors.canaries import coin_flips, with_canaries
from experiments.jobs.auditors.options import Options
from experiments.membership.attacks import spares_complements
from experiments.membership.defenses import Privacy, account
from experiments.membership.recorder import Statistic, record
from experiments.tasks.recipe import Recipe, descent_of
from experiments.tasks.task import Task, initial_params, logits_of_many
from experiments.tasks.training import MakeOptimizer, train_models
from gujax import training, transforms
from gujax.attacks import membership
from gujax.data import Split
from gujax.uniqueness import membership_mu, noise_ridge

PRIOR = 0.5  # inclusion probability of the bound: who is in a batch is not known


class Seconds(NamedTuple):
    """Time of training all models, of the two audited ones, and of querying and scoring."""

    train: float
    audit: float
    attack: float


class AuditedRun(NamedTuple):
    """M models of one seed and ε.

    Attributes:
        included: canaries in each model, [M, m].
        lira: scores of LiRA on the canaries, [M, m].
        learned: how much the scaled confidence in the canary's label grew in training, [M, m].
        mu: μ of each example from uniqueness, for an attacker who knows which batches would hold
            it, in the two audited models: the first, and one that holds every canary, [2, N]; 0
            for non-members.
        excess: mean of exp(μ_t²) − 1 over the steps that held the example, [2, N]; 0 if none did.
        canaries: positions of the canaries, [m].
        overflow: examples cut from batches, over all models.
    """

    included: Bool[np.ndarray, "models canaries"]
    lira: Float[np.ndarray, "models canaries"]
    learned: Float[np.ndarray, "models canaries"]
    mu: Float[np.ndarray, "audited examples"]
    excess: Float[np.ndarray, "audited examples"]
    canaries: np.ndarray
    test_accuracy: float
    overflow: int
    seconds: Seconds


class Trainers(NamedTuple):
    """DP-SGD at one ε, plain and with every batch measured; made once, so that it compiles once."""

    privacy: Privacy
    plain: MakeOptimizer
    audited: MakeOptimizer


def trainers(recipe: Recipe, epsilon: float, options: Options, num_examples: int) -> Trainers:
    """Calibrates the noise and makes the optimizers.

    The sampling rate is that of a model which holds every canary: `run_seed` trains one such model
    beside the others, whose numbers of members vary with the coins.
    """
    plan = _plan(recipe, options.shadow_models + 1, num_examples)
    audited_plan = _plan(recipe, 2, num_examples)
    num_steps = plan.steps_per_epoch * recipe.epochs
    privacy = account(epsilon, options.delta, plan, num_steps, recipe)
    statistics = _statistics(privacy)
    follow = descent_of(recipe, num_steps)

    def private(
        key: PRNGKeyArray, plan: training.BatchPlan
    ) -> optax.GradientTransformationExtraArgs:
        clip, noise = privacy.l2_norm_clip, privacy.noise_multiplier
        return transforms.dp_sgd(clip, noise, plan.batch_size, key, batch_size=plan.physical_size)

    def plain(key: PRNGKeyArray) -> optax.GradientTransformation:
        return optax.chain(private(key, plan), follow)

    def audited(key: PRNGKeyArray) -> optax.GradientTransformation:
        measured = record(private(key, audited_plan), statistics, num_examples)
        return optax.chain(measured, follow)

    return Trainers(privacy, plain, audited)


def run_seed(
    task: Task, recipe: Recipe, trained_by: Trainers, options: Options, seed: int
) -> AuditedRun:
    """Trains M models under DP-SGD, audits two runs as they train, and scores the canaries.

    Canaries, coins, initial parameters, batches and noise follow from the seed; canaries and coins
    are the same for every ε.
    """
    rng = np.random.default_rng(seed)
    task, canaries = with_canaries(task, options.canaries, rng)
    split = task.dataset.train
    members = coin_flips(options.shadow_models, len(split), canaries, rng)
    # The last model holds every canary. It fixes the sampling rate, and is not attacked.
    members = np.concatenate([members, np.ones((1, len(split)), bool)])
    keys = jax.random.split(jax.random.key(seed), options.shadow_models + 1)
    start = initial_params(task, keys)

    def train(make_optimizer: MakeOptimizer, models: np.ndarray) -> training.TrainResult:
        began = time.perf_counter()
        begin = jax.tree.map(lambda leaf: leaf[models], start)
        trained = train_models(
            task, recipe, make_optimizer, members[models], keys[models], begin, "poisson"
        )
        jax.block_until_ready(trained.params)
        seconds.append(time.perf_counter() - began)
        return trained

    seconds: list[float] = []
    trained = train(trained_by.plain, np.arange(len(members)))
    measured = train(trained_by.audited, np.array([0, len(members) - 1]))
    recorded = measured.opt_state[0]

    began = time.perf_counter()
    shown = Split(split.x[canaries], split.y[canaries], split.ids[canaries])
    before, after = (
        membership.scaled_confidence(logits_of_many(task, params, shown), shown.y)[:-1]
        for params in (start, trained.params)
    )
    included = members[:-1, canaries]
    lira = membership.lira(after, included, complements=spares_complements(included))
    seconds.append(time.perf_counter() - began)
    test = task.dataset.test
    answers = logits_of_many(task, trained.params, test).argmax(-1)[:-1]
    return AuditedRun(
        included=included,
        lira=lira,
        learned=after - before,
        mu=np.sqrt(np.asarray(recorded.totals["mu_squared"])),
        excess=np.asarray(recorded.totals["excess"] / np.maximum(recorded.steps, 1)),
        canaries=canaries,
        test_accuracy=float((answers == test.y).mean()),
        overflow=int(trained.steps.overflow.sum()),
        seconds=Seconds(*seconds),
    )


def _plan(recipe: Recipe, num_models: int, num_examples: int) -> training.BatchPlan:
    largest = np.ones((num_models, num_examples), bool)
    return training.plan_batches(largest, recipe.batch_size, recipe.epochs, "poisson")


def _statistics(privacy: Privacy) -> dict[str, Statistic]:
    """μ_t² of each example of a batch, and exp(μ_t²) − 1.

    Under DP-SGD the noise that is added is the ridge: nothing is assumed about the attacker's.
    """
    noise_std = privacy.noise_multiplier * privacy.l2_norm_clip
    ridge = float(noise_ridge(noise_std, PRIOR))

    def mu_squared(grads: PyTree, mask: Bool[Array, " batch"]) -> Float[Array, " batch"]:
        norms = jnp.sqrt(gujax.squared_norms(grads))
        clip = jnp.minimum(1.0, privacy.l2_norm_clip / norms)
        K = gujax.gram(grads) * clip[:, None] * clip[None, :]
        gnq = gujax.uniqueness(K, ridge, mask=mask)
        return jnp.square(membership_mu(gnq, PRIOR))

    return {
        "mu_squared": mu_squared,
        "excess": lambda grads, mask: jnp.expm1(mu_squared(grads, mask)),
    }
