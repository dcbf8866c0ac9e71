"""Empirical V-information: what a family of predictors can use of a representation.

    I_V(G → Y) = H_V(Y | ∅) − H_V(Y | G)

(Xu et al. 2020, "A theory of usable information under computational constraints", arXiv
2002.10689; of gradients, layer by layer: Mo et al. 2021, arXiv 2105.13929.) Every predictor starts
as the best constant one and stops at the step with the best validation score; all stay constant
where that gains less than two standard errors. So the family contains the constant predictors, as
the paper requires ("optional ignorance"), and with nothing to learn the estimate is zero rather
than minus the cost of overfitting. What is below about 8 / examples nats is not seen, and what is
above is a lower bound: for classes apart by one direction among `width`, a linear predictor loses
about width / (2 × training examples) nats to estimating the others.

Gradients have heavy tails: a few examples with a large gradient would be predicted with great
confidence, some of them wrongly, and decide the mean log loss alone. Every prediction is therefore
mixed with 1 % of the constant one, which costs at most 0.01 nats and bounds an example's loss.
"""

from collections.abc import Callable, Hashable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from gujax.leakage._layers import as_matrix
from gujax.statistics import Interval, bootstrap_mean

_HEDGE = 0.01
_STRIDE = 5  # steps between two looks at the validation score

Name = TypeVar("Name", bound=Hashable)
Loss = Callable[..., tuple[Float[Array, ""], Float[Array, " examples"]]]


class Family(NamedTuple):
    """A family of predictors.

    Attributes:
        init: maps ``(key, num_features, num_outputs)`` to parameters whose output is zero.
        apply: maps ``(params, x)``, x [examples, features], to outputs [examples, outputs], which
            are added to those of the constant predictor.
        optimizer: of the training loss, on whitened features.
        num_steps: most steps taken, each with all training examples; rounded up to a multiple of
            five.
    """

    init: Callable[[PRNGKeyArray, int, int], PyTree]
    apply: Callable[[PyTree, Float[Array, "examples features"]], Float[Array, "examples outputs"]]
    optimizer: optax.GradientTransformation
    num_steps: int


class VInformation(NamedTuple):
    """V-information of one representation, in nats.

    Attributes:
        information: I_V(G → Y), estimated on held-out examples, with its 95 % bootstrap interval
            over examples (of these trained predictors: that others would be trained on other data
            is not in it). Negative only by chance.
        control: the same with the attribute shuffled: zero, but for chance.
        entropy: H_V(Y | ∅), held-out loss of the constant predictor: the most that a discrete
            attribute could leak. Of a continuous attribute it is a differential entropy.
        pointwise: each example's held-out pointwise V-information, [examples]; their mean is
            ``information`` (Ethayarajh et al. 2022, arXiv 2110.08420).
    """

    information: Interval
    control: Interval
    entropy: float
    pointwise: Float[np.ndarray, " examples"]


@cache  # the same functions, so that jit finds them again
def linear() -> Family:
    """Linear predictors: logistic regression, or least squares. A convex problem."""

    def init(key: PRNGKeyArray, num_features: int, num_outputs: int) -> PyTree:
        del key
        return {"weight": jnp.zeros((num_features, num_outputs)), "bias": jnp.zeros(num_outputs)}

    def apply(params: PyTree, x: Float[Array, "examples features"]) -> Array:
        return x @ params["weight"] + params["bias"][None, :]

    return Family(init, apply, optax.sgd(0.5, momentum=0.9, nesterov=True), num_steps=200)


@cache
def mlp(hidden: int = 32) -> Family:
    """Linear predictors plus one hidden ReLU layer, so that the family contains `linear`.

    Args:
        hidden: number of hidden units.
    """

    def init(key: PRNGKeyArray, num_features: int, num_outputs: int) -> PyTree:
        weight_key, bias_key = jax.random.split(key)
        return {
            "linear": linear().init(key, num_features, num_outputs),
            "in": jax.random.normal(weight_key, (num_features, hidden)),
            "bias": jax.random.normal(bias_key, (hidden,)),
            "out": jnp.zeros((hidden, num_outputs)),
        }

    def apply(params: PyTree, x: Float[Array, "examples features"]) -> Array:
        # Scaled so that one learning rate fits every width.
        features = jax.nn.relu(x @ params["in"] / np.sqrt(x.shape[1]) + params["bias"][None, :])
        return linear().apply(params["linear"], x) + features @ params["out"] / np.sqrt(hidden)

    return Family(init, apply, optax.adam(0.02), num_steps=300)


def v_information(
    representations: Mapping[Name, chex.ArrayTree],
    attribute: np.ndarray | Array,
    family: Family | None = None,
    *,
    num_folds: int = 5,
    folds: Int[np.ndarray, " examples"] | None = None,
    seed: int = 0,
) -> dict[Name, VInformation]:
    """V-information of every representation about one private attribute.

    Cross-fitting: each fold of the examples is scored by a predictor that was trained on the others
    but one, and stopped by that one. All predictors of representations of equal width (folds and
    shuffled control) are trained at once, under ``vmap``. Features are whitened first, without
    the attribute: it changes neither family, and gradient descent then converges alike in all
    directions. Continuous attributes have a Gaussian predictive distribution, whose variance per
    dimension is the mean squared residual of the validation fold.

    Args:
        representations: by name, as of layers: each a pytree of arrays with a leading axis of
            examples. Bring wide ones to one width with `principal_coordinates` (or
            `gujax.sketch`).
        attribute: integer or boolean, [examples]: classes. Floating point, [examples] or
            [examples, dimensions]: continuous; informations of dimensions are summed.
        family: of predictors; `linear()` by default.
        num_folds: at least 3.
        folds: the fold of each example, from 0, [examples], in place of random ones of that number.
            Needed where examples are not independent, such as gradients of batches with members in
            common: those belong in one fold. See `assign_folds`.
        seed: of the folds, the shuffle and the predictors' initialization.

    Returns:
        The V-information of each representation, in nats.

    Raises:
        ValueError: before any training: the attribute is constant (or a dimension of it is), or
            lengths disagree; a class has fewer than ``2 num_folds`` examples, or none in one of
            ``folds``; or a representation is wider than the examples of the training folds can
            support.
    """
    family = linear() if family is None else family
    matrices = {name: as_matrix(value) for name, value in representations.items()}
    attribute = checked_attribute(attribute)
    num_folds = num_folds if folds is None else int(np.max(folds)) + 1
    _check_sizes(matrices, attribute, num_folds)
    loss, targets, log_scale = _targets(attribute)
    rng = np.random.default_rng(seed)
    if folds is None:
        fold = _folds(attribute, num_folds, rng)
    else:
        fold = _checked_folds(np.asarray(folds, np.int32), attribute, num_folds)
    # Shuffled together, so that in the control too every class is spread evenly over the folds.
    shuffled = rng.permutation(len(attribute))
    controls = np.stack([targets, targets[shuffled]]), np.stack([fold, fold[shuffled]])
    keys = jax.random.split(jax.random.key(seed), num_folds)

    results: dict[Name, VInformation] = {}
    for width in {matrix.shape[1] for matrix in matrices.values()}:
        names = [name for name, matrix in matrices.items() if matrix.shape[1] == width]
        features = np.stack([_whitened(matrices[name]) for name in names])
        losses = np.asarray(_cross_fit(family, loss, features, *controls, keys), np.float64)
        for name, (constant, trained) in zip(names, losses.swapaxes(0, 1), strict=True):
            real, control = constant - trained
            entropy = float(constant[0].mean() + log_scale)
            results[name] = VInformation(
                bootstrap_mean(real, seed), bootstrap_mean(control, seed), entropy, real
            )
    return {name: results[name] for name in representations}


def assign_folds(
    attribute: np.ndarray | Array, num_folds: int = 5, *, seed: int = 0
) -> Int[np.ndarray, " examples"]:
    """Folds at random, with every class of the attribute spread evenly over them.

    Args:
        attribute: as for `v_information`.
        num_folds: their number.
        seed: of the assignment.

    Returns:
        The fold of each example, from 0, [examples].

    Raises:
        ValueError: the attribute is constant or not finite.
    """
    return _folds(checked_attribute(attribute), num_folds, np.random.default_rng(seed))


def checked_attribute(attribute: np.ndarray | Array) -> np.ndarray:
    """Classes as int32 0 … C − 1, [examples], or float64 values, [examples, dimensions].

    Raises:
        ValueError: the attribute, or a dimension of it, is constant, or an entry is not finite.
    """
    values = np.asarray(attribute)
    if values.dtype.kind in "iub":
        if values.ndim != 1:
            raise ValueError(f"attribute has shape {values.shape}; classes must be [examples]")
        classes, indices = np.unique(values, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"attribute is constant ({classes}): there is nothing to infer")
        return indices.astype(np.int32)
    values = values.astype(np.float64).reshape(len(values), -1)
    if not np.isfinite(values).all():
        raise ValueError("attribute has entries that are not finite; leave those examples out")
    spread = values.std(axis=0)
    if constant := np.flatnonzero(spread == 0).tolist():
        raise ValueError(
            f"attribute is constant in {len(constant)} of its {len(spread)} dimensions "
            f"(first: {constant[0]}); leave them out, or take principal_coordinates of it"
        )
    return values


def _check_sizes(
    matrices: Mapping[Name, np.ndarray], attribute: np.ndarray, num_folds: int
) -> None:
    count = len(attribute)
    if num_folds < 3:
        raise ValueError(f"num_folds={num_folds} must be at least 3: to train, to stop, to score")
    if count < 10 * num_folds:
        raise ValueError(
            f"attribute has {count} examples; with num_folds={num_folds} at least "
            f"{10 * num_folds} are needed"
        )
    smallest = np.bincount(attribute).min() if attribute.ndim == 1 else count
    if smallest < 2 * num_folds:
        raise ValueError(
            f"attribute has a class of {smallest} examples; with num_folds={num_folds} each needs "
            f"at least {2 * num_folds}: take more examples, merge classes or use fewer folds"
        )
    for name, matrix in matrices.items():
        if len(matrix) != count:
            raise ValueError(
                f"representations[{name!r}] has {len(matrix)} examples, attribute has {count}"
            )
        # As many training examples as a linear predictor has coefficients for one output.
        needed = -(-(matrix.shape[1] + 1) * num_folds // (num_folds - 2))
        if count < needed:
            raise ValueError(
                f"representations[{name!r}] is {matrix.shape[1]} wide, for which predictors need "
                f"at least {needed} examples, got {count}; reduce it with principal_coordinates"
            )


def _targets(attribute: np.ndarray) -> tuple[Loss, Float[np.ndarray, "examples outputs"], float]:
    """The loss, what it takes, and what its entropy lacks because values are standardized."""
    if attribute.ndim == 1:
        return _class_loss, np.eye(attribute.max() + 1, dtype=np.float32)[attribute], 0.0
    spread = attribute.std(axis=0)
    standardized = ((attribute - attribute.mean(axis=0)) / spread).astype(np.float32)
    return _gaussian_loss, standardized, float(np.log(spread).sum())


def _folds(attribute: np.ndarray, num_folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold for each example, [examples], every class spread evenly over them."""
    classes = attribute if attribute.ndim == 1 else np.zeros(len(attribute))
    order = np.lexsort((rng.random(len(classes)), classes))
    fold = np.empty(len(classes), np.int32)
    fold[order] = np.arange(len(classes)) % num_folds
    return fold


def _checked_folds(folds: np.ndarray, attribute: np.ndarray, num_folds: int) -> np.ndarray:
    classes = attribute if attribute.ndim == 1 else np.zeros(len(attribute), np.int32)
    if folds.shape != classes.shape:
        raise ValueError(f"folds has shape {folds.shape}, attribute {len(classes)} examples")
    counts = np.zeros((num_folds, classes.max() + 1), np.int32)
    np.add.at(counts, (folds, classes), 1)
    if not counts.all():
        fold, missing = np.argwhere(counts == 0)[0]
        raise ValueError(
            f"folds has no example of class {missing} in fold {fold}; every class must be in every "
            "fold, see assign_folds"
        )
    return folds


def _whitened(matrix: Float[np.ndarray, "examples width"]) -> Float[np.ndarray, "examples width"]:
    """Uncorrelated features of unit variance; as many are zero as the matrix lacks in rank."""
    left, scales, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    kept = scales > scales[0] * np.finfo(np.float32).eps
    return (left * kept * np.sqrt(len(matrix))).astype(np.float32)


@partial(jax.jit, static_argnames=("family", "loss"))
def _cross_fit(
    family: Family,
    loss: Loss,
    features: Float[Array, "layers examples width"],
    targets: Float[Array, "controls examples outputs"],
    folds: Int[Array, "controls examples"],
    keys: PRNGKeyArray,
) -> Float[Array, "2 layers controls examples"]:
    """Held-out loss of each example: of the constant predictor, and of the trained one."""

    def one_fold(x: Array, y: Array, fold: Array, held_out: Array, key: PRNGKeyArray) -> Array:
        validation = fold == (held_out + 1) % len(keys)
        training = ~validation & (fold != held_out)
        fold_loss = partial(loss, y=y, training=training, validation=validation)
        constant, trained = _train(family, fold_loss, x, y.shape[1], validation, key)
        parts = (fold == held_out, fold == held_out, validation)
        return jnp.stack([constant, trained, constant - trained]) * jnp.stack(parts)

    def all_folds(x: Array, y: Array, fold: Array) -> Array:
        by_fold = jax.vmap(partial(one_fold, x, y, fold))(jnp.arange(len(keys)), keys)
        constant, trained, gains = by_fold.sum(axis=0)
        # The best of many steps looks better by chance where there is nothing to learn.
        convincing = gains.mean() > 2 * gains.std() / jnp.sqrt(len(gains))
        return jnp.stack([constant, jnp.where(convincing, trained, constant)])

    by_control = jax.vmap(all_folds, in_axes=(None, 0, 0), out_axes=1)
    return jax.vmap(by_control, in_axes=(0, None, None), out_axes=1)(features, targets, folds)


def _train(
    family: Family,
    loss: Callable[[Array], tuple[Array, Array]],
    x: Float[Array, "examples width"],
    num_outputs: int,
    validation: Bool[Array, " examples"],
    key: PRNGKeyArray,
) -> tuple[Float[Array, " examples"], Float[Array, " examples"]]:
    """Losses of every example under the constant predictor and under the early-stopped one."""
    params = family.init(key, x.shape[1], num_outputs)
    _, constant = loss(jnp.zeros((len(x), num_outputs)))

    def objective(params: PyTree) -> tuple[Array, Array]:
        return loss(family.apply(params, x))

    def step(_: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        params, state = carry
        gradient, _ = jax.grad(objective, has_aux=True)(params)
        updates, state = family.optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    # The constant predictor itself never competes: its rounding error passes any test.
    def compete(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], None]:
        params, state, best = carry
        params, state = jax.lax.fori_loop(0, _STRIDE, step, (params, state))
        losses = objective(params)[1]
        losses = -jnp.logaddexp(jnp.log1p(-_HEDGE) - losses, jnp.log(_HEDGE) - constant)
        better = jnp.sum((losses - best) * validation) < 0  # false too where training diverged
        return (params, state, jnp.where(better, losses, best)), None

    first = (params, family.optimizer.init(params), constant)
    (_, _, best), _ = jax.lax.scan(compete, first, None, length=-(-family.num_steps // _STRIDE))
    return constant, best


def _class_loss(
    outputs: Array, y: Array, training: Array, validation: Array
) -> tuple[Float[Array, ""], Float[Array, " examples"]]:
    """Cross-entropy; outputs are log odds relative to the frequencies of the training examples."""
    del validation
    frequencies = jnp.average(y, axis=0, weights=training)
    losses = optax.softmax_cross_entropy(outputs + jnp.log(frequencies)[None, :], y)
    return jnp.average(losses, weights=training), losses


def _gaussian_loss(
    outputs: Array, y: Array, training: Array, validation: Array
) -> tuple[Float[Array, ""], Float[Array, " examples"]]:
    """Least squares; then the Gaussian log loss with the variance of the validation residuals."""
    residuals = y - jnp.average(y, axis=0, weights=training)[None, :] - outputs
    squares = jnp.square(residuals)
    variance = jnp.average(squares, axis=0, weights=validation) + jnp.finfo(y.dtype).eps
    variance = variance[None, :]
    losses = jnp.sum(squares / variance + jnp.log(2 * jnp.pi * variance), axis=1) / 2
    return jnp.average(squares.sum(axis=1), weights=training) / 2, losses
