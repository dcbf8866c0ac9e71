"""Training of one model or of many at once, watched from the host."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PRNGKeyArray, PyTree

from gujax.data import Split, class_labels
from gujax.progress import Progress
from gujax.training._batches import Sampling, plan_batches
from gujax.training._checkpoints import Checkpoint, Checkpoints
from gujax.training._compiled import (
    Constant,
    Data,
    LossFn,
    Method,
    Optimizer,
    Program,
    init_optimizer,
    train_epochs,
)
from gujax.training._loss import AnyArray, Apply
from gujax.training._result import EpochMetrics, StepMetrics, TrainResult
from gujax.validation import typed_keys

Callback = Callable[[int, TrainResult], bool | None]

_PROGRESS_TICKS = 20


def train(
    loss_fn: LossFn,
    params: PyTree,
    split: Split,
    optimizer: Optimizer,
    *,
    batch_size: int,
    epochs: int,
    key: PRNGKeyArray,
    sampling: Sampling = "shuffle",
    member_mask: Bool[AnyArray, " examples"] | None = None,
    shared: tuple[PyTree, ...] = (),
    method: Method = "factored",
    randomized: bool = False,
    apply: Apply | None = None,
    test: Split | None = None,
    callback: Callback | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train one model.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, (x, y))``.
        params: initial parameters.
        split: training data, N examples.
        optimizer: an optax chain that starts with one of `gujax.transforms`; where those take
            ``batch_size=``, give the ``physical_size`` of `plan_batches`.
        batch_size: examples per batch; expected number if sampling is Poisson.
        epochs: number of epochs.
        key: PRNG key of the batches; the result is a function of it and of the other arguments.
        sampling: ``"shuffle"`` or ``"poisson"``.
        member_mask: examples to train on, [N]; all if None. The others are never read.
        shared: what all examples share and is not trained, such as the frozen model under adapters:
            the loss is then ``loss_fn(params, example, *shared)``.
        method: method of `gujax.per_example_grads`.
        randomized: whether the loss draws noise: it is then ``loss_fn(params, (x, y, key))``, with
            a fresh PRNG key for each example and step.
        apply: maps ``(params, x)`` to logits; if given, accuracies are measured each epoch.
        test: split for the test accuracy.
        callback: called with the epoch, from 0, and a `TrainResult` whose metrics hold that epoch
            alone; it makes the host wait for every epoch. Where it returns true, training ends, and
            the metrics with it.
        progress: called with the number of epochs done and of all epochs, about twenty times.

    Returns:
        The trained model and its metrics.

    Raises:
        ValueError: if an argument is out of range or does not fit the others.
    """
    key = typed_keys("key", key)
    members = np.ones(len(split), bool) if member_mask is None else np.asarray(member_mask)
    _check_mask("member_mask", members, (len(split),))
    plan = plan_batches(members, batch_size, epochs, sampling)
    program = Program(loss_fn, Constant(optimizer), plan, method, apply, randomized)
    return _run(
        program,
        params,
        members,
        key,
        split,
        test,
        epochs=epochs,
        many=False,
        callback=callback,
        progress=progress,
        shared=shared,
    )


def train_many(
    loss_fn: LossFn,
    params: PyTree,
    split: Split,
    make_optimizer: Callable[[PRNGKeyArray], Optimizer],
    *,
    member_masks: Bool[AnyArray, "models examples"],
    keys: PRNGKeyArray,
    batch_size: int,
    epochs: int,
    sampling: Sampling = "shuffle",
    method: Method = "factored",
    randomized: bool = False,
    apply: Apply | None = None,
    test: Split | None = None,
    callback: Callback | None = None,
    progress: Progress | None = None,
    labels: AnyArray | None = None,
) -> TrainResult:
    """Train M models at once: the loop of `train` under ``vmap``, compiled once.

    Model m is what `train` gives for ``params[m]``, ``member_masks[m]`` and ``keys[m]``, up to
    rounding, if all models have equally many members.

    Args:
        loss_fn: loss of one example.
        params: initial parameters; each leaf has a leading axis M (``jax.vmap(model.init)(keys)``).
        split: training data, N examples, shared by the models.
        make_optimizer: maps a PRNG key to an optax chain that starts with one of
            `gujax.transforms`; the key, derived from the model's, is for the noise of `dp_sgd`.
        member_masks: examples that each model is trained on, [M, N].
        keys: one PRNG key per model, [M].
        batch_size: examples per batch; expected number if sampling is Poisson. If models differ in
            their number of members, Poisson batches have the rate of the largest.
        epochs: number of epochs.
        sampling: ``"shuffle"`` or ``"poisson"``.
        method: method of `gujax.per_example_grads`.
        randomized: whether the loss draws noise: it is then ``loss_fn(params, (x, y, key))``, with
            a fresh PRNG key for each example and step.
        apply: maps ``(params, x)`` to logits; if given, accuracies are measured each epoch.
        test: split for the test accuracy.
        callback: called after every epoch, see `train`.
        progress: called with the number of epochs done and of all epochs, about twenty times.
        labels: what each model learns in place of ``split.y``, [M, N] or, as distributions over
            classes, [M, N, classes], such as those of `gujax.defenses.out_of_fold_labels`; None for
            ``split.y``. Accuracies are always measured against ``split.y``.

    Returns:
        The trained models and their metrics, with a leading axis M.

    Raises:
        ValueError: if an argument is out of range or does not fit the others.
    """
    members = np.asarray(member_masks)
    keys = typed_keys("keys", keys, members.shape[:1])
    _check_mask("member_masks", members, (len(keys), len(split)))
    for leaf in jax.tree.leaves(params):
        if jnp.shape(leaf)[:1] != (len(keys),):
            raise ValueError(
                f"params has a leaf of shape {jnp.shape(leaf)}, expected a leading axis of "
                f"{len(keys)} models; use jax.vmap(model.init)(keys)"
            )
    if labels is not None and jnp.shape(labels)[:2] != members.shape:
        raise ValueError(
            f"labels has shape {jnp.shape(labels)}, expected one label for each of {len(keys)} "
            f"models and {len(split)} examples, {members.shape} or {(*members.shape, 'classes')}"
        )
    plan = plan_batches(members, batch_size, epochs, sampling)
    program = Program(loss_fn, make_optimizer, plan, method, apply, randomized)
    return _run(
        program,
        params,
        members,
        keys,
        split,
        test,
        epochs=epochs,
        many=True,
        callback=callback,
        progress=progress,
        labels=labels,
    )


def _run(
    program: Program,
    params: PyTree,
    member_masks: Bool[np.ndarray, "*models examples"],
    keys: PRNGKeyArray,
    split: Split,
    test: Split | None,
    *,
    epochs: int,
    many: bool,
    callback: Callback | None,
    progress: Progress | None,
    shared: tuple[PyTree, ...] = (),
    labels: AnyArray | None = None,
) -> TrainResult:
    """Run the compiled chunks of epochs one after another, so that the host can watch."""
    if test is not None and program.apply is None:
        raise ValueError("test is given but apply is not; pass apply=model.apply as well")
    if program.apply is not None:
        one = jax.tree.map(lambda leaf: leaf[0], params) if many else params
        _check_labels("split.y", program.apply, one, split)
        if test is not None:
            _check_labels("test.y", program.apply, one, test)
    data = Data(
        x=jnp.asarray(split.x),
        y=jnp.asarray(split.y),
        ids=jnp.asarray(split.ids),
        test_x=None if test is None else jnp.asarray(test.x),
        test_y=None if test is None else jnp.asarray(test.y),
        shared=jax.tree.map(jnp.asarray, shared),
    )
    members = jnp.asarray(member_masks)
    own_labels = None if labels is None else jnp.asarray(labels)
    # Split here and not in the compiled part: a random generator takes long to compile.
    split_keys = partial(jax.random.split, num=epochs + 1)
    all_keys = (jax.vmap(split_keys) if many else split_keys)(keys)
    optimizer_keys, epoch_keys = all_keys[..., 0], all_keys[..., 1:]
    opt_state = init_optimizer(program, params, optimizer_keys, many=many)
    chunk = 1 if callback else _chunk_size(epochs)
    arrays = data, members, optimizer_keys, epoch_keys[..., :chunk], params, opt_state, own_labels
    shapes = jax.eval_shape(lambda *arrays: arrays, *arrays)  # keep no initial values alive
    checkpoints = Checkpoints(
        (data, members, all_keys, params, opt_state, own_labels),
        partial(train_epochs.lower, program, *shapes, many=many),
    )
    del arrays
    history: list[tuple[StepMetrics, EpochMetrics]] = []
    done = 0
    if (found := checkpoints.restore(params, opt_state)) is not None:
        done, params, opt_state, history = *found[:3], [found.history]
    for first in range(done, epochs, chunk):
        params, opt_state, metrics = train_epochs(
            program,
            data,
            members,
            optimizer_keys,
            epoch_keys[..., first : first + chunk],
            params,
            opt_state,
            own_labels,
            many=many,
        )
        history.append(jax.device_get(metrics))  # waits, so that progress tells the truth
        if progress is not None:
            progress(first + chunk, epochs)
        if callback and callback(first, _result(params, opt_state, history[-1:], program, many)):
            break
        if checkpoints.is_due():
            history = [_joined(history, many)]
            checkpoints.save(Checkpoint(first + chunk, params, opt_state, *history))
    return _result(params, opt_state, history, program, many)


def _result(
    params: PyTree,
    opt_state: PyTree,
    history: list[tuple[StepMetrics, EpochMetrics]],
    program: Program,
    many: bool,
) -> TrainResult:
    return TrainResult(params, opt_state, *_joined(history, many), program.plan)


def _joined(
    history: list[tuple[StepMetrics, EpochMetrics]], many: bool
) -> tuple[StepMetrics, EpochMetrics]:
    """The metrics of consecutive epochs as one."""
    return jax.tree.map(lambda *chunks: np.concatenate(chunks, 1 if many else 0), *history)


def _chunk_size(epochs: int) -> int:
    """The largest divisor of ``epochs`` that leaves enough ticks: equal chunks compile once."""
    largest = max(1, epochs // _PROGRESS_TICKS)
    return next(size for size in range(largest, 0, -1) if epochs % size == 0)


def _check_mask(name: str, mask: np.ndarray, shape: tuple[int, ...]) -> None:
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(
            f"{name} has shape {mask.shape} and type {mask.dtype}, expected {shape} and bool"
        )


def _check_labels(name: str, apply: Apply, params: PyTree, split: Split) -> None:
    """Check the labels that accuracies are measured with."""
    logits = jax.eval_shape(apply, params, jax.ShapeDtypeStruct(split.x.shape[1:], split.x.dtype))
    class_labels(name, split.y, len(split.x), logits.shape[-1])
