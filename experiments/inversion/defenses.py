"""The defenses by name. A new one is one function here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from experiments.framework.errors import UserError
from experiments.inversion.sharing import Adversary, Examples, Share, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses, per_example_grads, transforms
from gujax.attacks import inversion
from gujax.attacks.inversion.leaves import LeafWeights, weigh
from gujax.models import Model
from gujax.training.loss import GradientFn, LossFn

# Draws of a bottleneck's noise in the attackers' models of it; one is to guess it.
_GUESSES, DRAWS = 1, 4
_SMOOTHING = 3.0  # of those who know that the update is noisy
_LINEAR, _CONVOLUTIONAL = defenses.linear(), defenses.convolutional(by_patches=True)


@dataclass(frozen=True)
class Setting:
    """What all defenses of a comparison share.

    Attributes:
        batch_size: Examples per step of a client.
        crowd: Examples among which a transformation of the core releases.
        before: Layer before which PRECODE puts its bottleneck; None for the last one.
        early_before: Layer before which CVB puts its own; None for the second of the network.
        beta: Weight of the KL divergence, in bits, in the loss.
        early_beta: That of CVB, whose divergence is a sum over positions.
        local_learning_rate: Of local steps.
        relative_ridge: Ridge of the uniqueness that gate and clip measure, over the mean squared
            gradient norm of the batch.
        l2_norm_clip: Of DP-SGD.
    """

    batch_size: int = 1
    crowd: int = 8
    before: str | None = None
    early_before: str | None = None
    beta: float = 1e-3
    early_beta: float = 1e-5
    local_learning_rate: float = 0.05
    relative_ridge: float = 0.1
    l2_norm_clip: float = 1.0


Build = Callable[[Task, Setting, float], SharedUpdate]


@dataclass(frozen=True)
class Entry:
    """One line of the registry.

    Attributes:
        label: Name of the defense, with a place for its strength if it has one.
        strength: The default; None for a defense without one.
        meaning: What the strength is.
        build: Makes it ready; label, family and strength are filled in.
    """

    label: str
    strength: float | None
    meaning: str
    build: Build


REGISTRY: dict[str, Entry] = {}


def _defense(family: str, label: str, strength: float | None = None, meaning: str = ""):
    def register(build: Build) -> Build:
        REGISTRY[family] = Entry(label, strength, meaning, build)
        return build

    return register


def build_shared_updates(
    task: Task, names: Sequence[str], setting: Setting = Setting()
) -> list[SharedUpdate]:
    """Defenses made ready for a task.

    Args:
        task: Data and model; the loss is that of the plain model.
        names: Such as ``"precode"``, or with a strength ``"gaussian:0.1"``; see `REGISTRY`.
        setting: What they share.

    Raises:
        UserError: A name is unknown, a strength is out of range, or a defense does not fit the
            model.
    """
    built = [_build(task, name, setting) for name in names]
    return list({shared.label: shared for shared in built}.values())


def _build(task: Task, name: str, setting: Setting) -> SharedUpdate:
    family, _, given = name.partition(":")
    if family not in REGISTRY:
        raise UserError(f"unknown defense '{family}'; choose from {', '.join(REGISTRY)}")
    entry = REGISTRY[family]
    if given and entry.strength is None:
        raise UserError(f"the defense '{name}' takes no strength; write '{family}'")
    try:
        strength = float(given) if given else entry.strength
        if strength is not None and not math.isfinite(strength):
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"the strength of the defense '{name}' is not a finite number; it is the "
            f"{entry.meaning}"
        ) from error
    try:
        shared = entry.build(task, setting, strength or 0.0)
    except ValueError as error:
        raise UserError(f"defense '{name}': {error}") from error
    return replace(shared, label=entry.label.format(strength), family=family, strength=strength)


@_defense("none", "no defense")
def _none(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    return _aggregate(task, setting.batch_size)


@_defense("precode", "PRECODE")
def _precode(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    return _bottleneck(task, setting.before or last_layer(task), _LINEAR, setting.beta, setting)


@_defense("cvb", "CVB")
def _cvb(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    before = setting.early_before or second_layer(task)
    return _bottleneck(task, before, _CONVOLUTIONAL, setting.early_beta, setting)


@_defense("ppp", "PPP {:g}", 1.0, "standard deviation of the noise over the rms of the leaves")
def _ppp(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    _check_nonnegative(strength)
    precode = _precode(task, setting, strength)
    perturbed = inversion.without(*precode.stochastic)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        inner, outer = jax.random.split(key)
        update = precode.share(params, examples, inner)
        return partially_perturbed(update, strength, perturbed, outer)

    assert precode.adaptive is not None
    return replace(precode, share=share, adaptive=replace(precode.adaptive, smoothing=_SMOOTHING))


@_defense("gaussian", "Gaussian noise {:g}", 1.0, "standard deviation over the rms of the update")
def _gaussian(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    return _noisy(task, setting, defenses.gaussian_noise, strength)


@_defense("laplacian", "Laplacian noise {:g}", 1.0, "standard deviation over the rms of the update")
def _laplacian(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    return _noisy(task, setting, defenses.laplacian_noise, strength)


@_defense("prune", "pruning {:g}", 0.99, "share of the entries of each leaf that become 0")
def _prune(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    prune = defenses.prune(strength)
    plain = _none(task, setting, 0)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        return defenses.perturb(prune, plain.share(params, examples, key))

    adaptive = replace(plain.naive, matching_loss=_surviving_cosine_distance)
    return replace(plain, share=share, adaptive=adaptive)


@_defense("batch", "batch of {:g}", 8, "number of examples whose mean gradient is shared")
def _batch(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    return _aggregate(task, _whole(strength))


@_defense("local_steps", "{:g} local steps", 4, "number of steps of federated averaging")
def _local_steps(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    num_steps, rate = _whole(strength), setting.local_learning_rate
    plain = _aggregate(task, num_steps * setting.batch_size)

    def mean_step(loss_fn: LossFn) -> GradientFn:
        total = defenses.local_steps(
            inversion.batch_gradient(loss_fn), rate, batch_size=setting.batch_size
        )

        def update(params: PyTree, examples: Examples) -> PyTree:
            # Who knows the learning rate takes it out: what is left is a gradient in its own units.
            return jax.tree.map(lambda leaf: leaf / (rate * num_steps), total(params, examples))

        return update

    share = _without_noise(mean_step(task.loss_fn))
    return replace(plain, share=share, adaptive=replace(plain.naive, expected=mean_step))


@_defense("gate", "gate q={:g}", 0.75, "quantile of a batch's uniqueness above which examples go")
def _gate(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    gate = transforms.uniqueness_gate(
        quantile=strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )
    return _transformed(task, setting, lambda key: gate)


@_defense("clip", "clip {:g}", 0.1, "largest uniqueness that an example may have in its batch")
def _clip(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    clip = transforms.uniqueness_clip(
        strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )
    return _transformed(task, setting, lambda key: clip)


@_defense("dp_sgd", "DP-SGD σ={:g}", 0.1, "noise multiplier")
def _dp_sgd(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    def make(key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        return transforms.dp_sgd(
            setting.l2_norm_clip, strength, setting.crowd, key, batch_size=setting.crowd
        )

    shared = _transformed(task, setting, make)
    assert shared.adaptive is not None
    return replace(shared, adaptive=replace(shared.adaptive, smoothing=_SMOOTHING))


def partially_perturbed(
    update: PyTree, strength: ArrayLike, leaf_weights: LeafWeights, key: PRNGKeyArray
) -> PyTree:
    """The update with Gaussian noise on some leaves.

    Args:
        update: What is shared otherwise.
        strength: Standard deviation over the rms of these leaves' entries.
        leaf_weights: Which leaves; those of positive weight.
        key: PRNG key of the noise.
    """
    noise = _relative(defenses.gaussian_noise, strength, update, key, leaf_weights)
    return defenses.perturb(defenses.partial_perturbation(noise, leaf_weights), update)


def last_layer(task: Task) -> str:
    """Path of the network's last layer."""
    params = _parameters(task)
    return "head" if "head" in params else f"layers/{max(params['layers'])}"


def second_layer(task: Task) -> str:
    """Path of what follows the network's first convolution; the second layer if it has none."""
    params = _parameters(task)
    if "blocks" in params:
        return "blocks/0"
    return "convolutions/1" if "convolutions" in params else "layers/1"


def _parameters(task: Task) -> dict:
    return jax.eval_shape(task.model.init, jax.random.key(0))


def _whole(strength: float) -> int:
    if strength < 1 or strength != int(strength):
        raise ValueError(f"its strength {strength:g} must be a whole number, at least 1")
    return int(strength)


def _check_nonnegative(strength: float) -> None:
    if not strength >= 0:
        raise ValueError(f"its strength {strength:g} must be at least 0")


def _without_noise(gradient_fn: GradientFn) -> Share:
    return lambda params, examples, key: gradient_fn(params, examples)


def _aggregate(task: Task, num_examples: int) -> SharedUpdate:
    """The mean gradient of so many examples, as it is."""
    return SharedUpdate(
        label="",
        family="",
        strength=None,
        model=task.model,
        loss_fn=task.loss_fn,
        randomized=False,
        num_classes=task.dataset.num_classes,
        last_layer=last_layer(task),
        num_examples=num_examples,
        share=_without_noise(inversion.batch_gradient(task.loss_fn)),
        naive=Adversary(task.loss_fn),
    )


class _Stochastic(NamedTuple):
    """A network with a bottleneck, and what attackers take its updates to be."""

    model: defenses.BottleneckModel
    loss_fn: LossFn
    share: Share
    naive: Adversary
    adaptive: Adversary
    averaged: Adversary


@cache  # the same objects for defenses of the same network, so that each is compiled once
def _stochastic(
    plain: Model, before: str, build: defenses.bottleneck.Build, beta: float
) -> _Stochastic:
    model = defenses.insert_bottleneck(plain, before, build)
    loss_fn = defenses.bottleneck_loss(model, beta)
    gradient_fn = inversion.batch_gradient(loss_fn)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        x, y = examples
        return gradient_fn(params, (x, y, jax.random.split(key, len(y))))

    # Draws of the attacker's own: the victim's noise is nobody's to know.
    own = jax.random.key(0)

    def averaging(num_draws: int) -> Adversary:
        def expected(loss_fn: LossFn) -> GradientFn:
            return defenses.noise_averaged(inversion.batch_gradient(loss_fn), own, num_draws)

        return Adversary(loss_fn, expected)

    guess = averaging(_GUESSES)
    return _Stochastic(
        model,
        loss_fn,
        share,
        naive=guess,
        adaptive=replace(guess, leaf_weights=inversion.without(*model.stochastic)),
        averaged=averaging(DRAWS),
    )


def _bottleneck(
    task: Task, before: str, build: defenses.bottleneck.Build, beta: float, setting: Setting
) -> SharedUpdate:
    made = _stochastic(task.model, before, build, beta)
    return SharedUpdate(
        label="",
        family="",
        strength=None,
        model=made.model,
        loss_fn=made.loss_fn,
        randomized=True,
        num_classes=task.dataset.num_classes,
        last_layer=f"{before}/layer" if before == last_layer(task) else last_layer(task),
        num_examples=setting.batch_size,
        share=made.share,
        naive=made.naive,
        adaptive=made.adaptive,
        averaged=made.averaged,
        stochastic=made.model.stochastic,
    )


def _noisy(
    task: Task,
    setting: Setting,
    noise: Callable[[ArrayLike, PRNGKeyArray], optax.GradientTransformation],
    strength: float,
) -> SharedUpdate:
    plain = _none(task, setting, 0)
    _check_nonnegative(strength)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        update = plain.share(params, examples, key)
        return defenses.perturb(_relative(noise, strength, update, key), update)

    return replace(plain, share=share, adaptive=replace(plain.naive, smoothing=_SMOOTHING))


def _relative(
    noise: Callable[[ArrayLike, PRNGKeyArray], optax.GradientTransformation],
    strength: ArrayLike,
    update: PyTree,
    key: PRNGKeyArray,
    leaf_weights: LeafWeights = inversion.every_leaf,
) -> optax.GradientTransformation:
    """Noise whose standard deviation is relative to the rms of the entries it is added to."""
    leaves = weigh(leaf_weights, update)
    squares = sum((jnp.vdot(leaf, leaf) for leaf in leaves), jnp.zeros(()))
    return noise(strength * jnp.sqrt(squares / sum(leaf.size for leaf in leaves)), key)


def _surviving_cosine_distance(
    candidate: Sequence[Array], observed: Sequence[Array]
) -> Float[Array, ""]:
    """Cosine distance of the entries that were not pruned."""
    surviving = [jnp.where(o != 0, c, 0) for c, o in zip(candidate, observed)]
    return inversion.cosine_distance(surviving, observed)


def _transformed(
    task: Task,
    setting: Setting,
    make: Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs],
) -> SharedUpdate:
    """What a transformation of per-example gradients releases of a batch."""
    plain = _aggregate(task, setting.crowd)
    grads_fn = per_example_grads(task.loss_fn)

    def release(params: PyTree, examples: Examples, key: PRNGKeyArray):
        transformation = make(key)
        state = transformation.init(params)
        return transformation.update(grads_fn(params, examples), state, params)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        return release(params, examples, key)[0]

    def side_information(params: PyTree, examples: Examples) -> PyTree:
        _, state = release(params, examples, jax.random.key(0))  # weights do not depend on noise
        return examples[1], state.weights

    adaptive = Adversary(task.loss_fn, _weighted_gradient, side_information=side_information)
    return replace(plain, share=share, adaptive=adaptive)


def _weighted_gradient(loss_fn: LossFn) -> GradientFn:
    """Gradient of a weighted sum of losses, the weights given with the labels."""

    def gradient_fn(params: PyTree, examples: PyTree) -> PyTree:
        x, (y, weights) = examples

        def total(params: PyTree) -> Float[Array, ""]:
            return jnp.vdot(weights, jax.vmap(loss_fn, (None, 0))(params, (x, y)))

        return jax.grad(total)(params)

    return gradient_fn
