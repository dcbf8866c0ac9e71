"""The attack on one target, predicted by the library, and by what else a publisher can compute."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree
from scipy.special import expit, softmax

import gujax
from experiments.jobs.prediction.training import Trained, Trainer, one_of
from experiments.membership.prediction import predict
from gujax import training
from gujax.assessment import blocks_of, signal_gram, signal_of_one
from gujax.prediction import Spectrum, gram_spectrum, paired_gap, rerun_deviation

Found = TypeVar("Found", bound=tuple)

_BLOCK = 256  # examples whose gradients are in memory at a time
_DAMPING = 0.01  # of self-influence, over the mean squared length of curvature-weighted gradients


class Predicted(NamedTuple):
    """What `gujax.assess` says of one target, or of several; of refused predictions NaN.

    Attributes:
        shift: predicted shift of every example, [N].
        level: AUC, TPR at 1 % and at 0.1 % FPR: estimate, lower and upper end, [3, 3].
        ridge: λ.
        deviation: s.
        gap: the observed gap.
        equal_shift: AUC and TPRs if every example had the gap as its shift, [3].
        refusal: why there is no prediction to rely on; empty if there is.
        warnings: what else the card would say.
        seconds: that it took.
    """

    shift: Float[np.ndarray, "*targets examples"]
    level: Float[np.ndarray, "*targets 3 3"]
    ridge: Float[np.ndarray, "*targets"]
    deviation: Float[np.ndarray, "*targets"]
    gap: Float[np.ndarray, "*targets"]
    equal_shift: Float[np.ndarray, "*targets 3"]
    refusal: np.ndarray
    warnings: np.ndarray
    seconds: Float[np.ndarray, "*targets"]


class Gradients(NamedTuple):
    """What gradients of the loss rank examples by, of one target or several.

    Attributes:
        norm: of the gradient of the loss, [N].
        norm_seconds: that they took.
        self_influence: gᵀ H⁻¹ g with the damped Gauss-Newton matrix H of the members, [N].
        self_influence_seconds: that it took.
        leverage: of the members' curvature in the last layer alone, between 0 and 1, [N].
        leverage_seconds: that it took.
    """

    norm: Float[np.ndarray, "*targets examples"]
    norm_seconds: Float[np.ndarray, "*targets"]
    self_influence: Float[np.ndarray, "*targets examples"]
    self_influence_seconds: Float[np.ndarray, "*targets"]
    leverage: Float[np.ndarray, "*targets examples"]
    leverage_seconds: Float[np.ndarray, "*targets"]


def stacked(kind: Callable[..., Found], of_targets: Sequence[Found]) -> Found:
    """What was found for each target as one, arrays with a leading axis."""
    return kind(*map(np.array, zip(*of_targets)))


class Publisher:
    """Who has trained one model and its reruns, and wants to know what they give away.

    Args:
        trainer: setting and data.
    """

    def __init__(self, trainer: Trainer):
        self._examples = np.asarray(trainer.pool.x), np.asarray(trainer.pool.y)
        # One function for all targets, so that it is compiled once.
        self._apply = partial(training.predict, trainer.task.model.apply)
        self._label_smoothing = trainer.setting.label_smoothing

    def predict(
        self, trained: Trained, target: int, reruns: Sequence[int], resamples: int
    ) -> Predicted:
        """The prediction for one model from it and others of another half and seed.

        Args:
            trained: all models.
            target: which one is published.
            reruns: which ones are its reruns.
            resamples: of the intervals.
        """
        start = time.perf_counter()
        inside, others = trained.members[target], list(reruns)
        found = predict(
            self._apply,
            self._examples,
            (one_of(trained.params, target), inside),
            [(one_of(trained.params, k), trained.members[k]) for k in others],
            label_smoothing=self._label_smoothing,
            num_resamples=resamples,
        )
        level = np.array([found.auc, found.tpr(0.01), found.tpr(0.001)])
        seconds = time.perf_counter() - start
        runs = trained.phi[target], trained.phi[others], inside, trained.members[others]
        gap, deviation = paired_gap(*runs).mean, rerun_deviation(*runs)
        equal = gujax.predict_attack(np.full(len(inside), max(gap, 0.0)), deviation)
        assessed = found.assessment
        return Predicted(
            found.shift,
            level,
            np.array(np.nan if assessed is None else assessed.ridge),
            np.array(deviation),
            np.array(gap),
            np.array([equal.auc, *equal.tpr(np.array([0.01, 0.001]))]),
            np.array(found.refusal),
            np.array("" if assessed is None else " ".join(assessed.warnings)),
            np.array(seconds),
        )

    def gradients(self, trained: Trained, target: int) -> Gradients:
        """Gradient norms and self-influence of one model."""
        start = time.perf_counter()
        params, phi = one_of(trained.params, target), trained.phi[target]
        # The loss is log(1 + exp(−φ)): its gradient is −σ(−φ) times that of φ.
        pull = expit(-phi)
        blocks = blocks_of(self._examples, _BLOCK)
        squared = np.concatenate([_norms(self._apply, params, block) for block in blocks])
        squared = squared[: len(phi)]
        norm = pull * np.sqrt(squared)
        norm_seconds = time.perf_counter() - start
        gram = signal_gram(self._apply, params, self._examples, _BLOCK, progress=None)
        spectrum = gram_spectrum(gram, phi, trained.members[target])
        influence = pull**2 * _influence(spectrum)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        last = gram_spectrum(self._last_layer_gram(params), phi, trained.members[target])
        leverage = last.weights * _influence(last)
        return Gradients(
            norm,
            np.array(norm_seconds),
            influence,
            np.array(seconds),
            leverage,
            np.array(time.perf_counter() - start),
        )

    def _last_layer_gram(self, params: PyTree) -> Float[np.ndarray, "examples examples"]:
        """T of the gradients of φ by the last layer's kernel and bias."""
        blocks = blocks_of(self._examples, _BLOCK)
        parts = [_last_layer(self._apply, params, block[0]) for block in blocks]
        features, logits = (np.concatenate(part)[: len(self._examples[1])] for part in zip(*parts))
        labels = self._examples[1]
        logits[np.arange(len(labels)), labels] = -np.inf
        towards = -softmax(logits, axis=1)  # of φ by the logits
        towards[np.arange(len(labels)), labels] = 1
        return (features @ features.T + 1) * (towards @ towards.T)


def _influence(spectrum: Spectrum) -> Float[np.ndarray, " examples"]:
    """J_jᵀ (λI + S)⁻¹ J_j for a fixed damping λ, members in S themselves."""
    inside = spectrum.members
    lengths = spectrum.weights * (np.square(spectrum.coordinates).sum(axis=1) + spectrum.residual)
    damping = _DAMPING * lengths[inside].mean()
    within = np.square(spectrum.coordinates) @ (1 / (spectrum.eigenvalues + damping))
    return within + spectrum.residual / damping


@partial(jax.jit, static_argnums=0)
def _norms(apply: Callable, params: PyTree, examples: Any) -> Float[Array, " block"]:
    return gujax.squared_norms(gujax.per_example_grads(signal_of_one(apply))(params, examples))


@partial(jax.jit, static_argnums=0)
def _last_layer(apply: Callable, params: PyTree, x: Array) -> tuple[Array, Array]:
    """What enters the last layer of a block, [B, width], and its logits, [B, C]."""

    def first_logit(params: PyTree, one: Array) -> tuple[Array, Array]:
        logits = apply(params, one[None])[0]
        return logits[0], logits

    def of_one(one: Array) -> tuple[Array, Array]:
        grads, logits = jax.grad(first_logit, has_aux=True)(params, one)
        # The gradient of a logit by its column of the kernel is what enters the layer.
        kernels = [leaf for leaf in jax.tree.leaves(grads) if leaf.shape[1:] == logits.shape]
        return kernels[-1][:, 0], logits

    return jax.vmap(of_one)(x)


def reruns(num_models: int, targets: int, count: int) -> np.ndarray:
    """Targets with their reruns, [T, 1 + R], among models that are halves first, complements then.

    No model occurs twice, and none is the complement of another.
    """
    others = num_models // 2 - 1 - np.arange(targets * count).reshape(count, targets).T
    return np.concatenate([np.arange(targets)[:, None], others], axis=1)
