"""Soft labels of teachers that did not see the example."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from gujax.data import Split, class_labels
from gujax.models import Model
from gujax.training import Apply, cross_entropy_loss, predict, train_many
from gujax.validation import check_count, typed_keys


def out_of_fold_labels(
    train: Split,
    model: Model,
    make_optimizer: Callable[[PRNGKeyArray], optax.GradientTransformation],
    *,
    folds: int,
    repeats: int,
    batch_size: int,
    epochs: int,
    key: PRNGKeyArray,
    member_masks: Bool[np.ndarray, "*students examples"] | None = None,
    groups: Int[np.ndarray, " examples"] | None = None,
) -> Float[np.ndarray, "*students examples classes"]:
    """Soft labels by teachers that were not trained on the example; its own label is dropped.

    In the manner of SELENA (Tang et al. 2022, arXiv 2110.08324): the members are parted at random
    into folds, one teacher is trained without each, and the label of an example is what the teacher
    without its fold predicts, the mean over several such partitions. A student is then trained on
    these labels alone, by any of `gujax.transforms`,

        train(loss, params, replace(split, y=labels), optimizer, ...)

    with `gujax.training.cross_entropy_loss`, which takes distributions.

    **Threat model.** The attacker sees the student. Its label for x_j does not depend on y_j, nor
    on x_j but for where the question is asked; so what an answer on x_j gives away first hand, a
    label that was fitted, is not there to be found. *This is no formal guarantee.* What is left is
    second-hand: x_j took part in the teachers that labelled the other examples, and the student
    learns it from those. Most of all where some are near-duplicates of x_j, whose teachers have
    as good as seen it: keep these together by ``groups``. What is alike in a way that groups do
    not know is still found (see `gujax.data.near_duplicate_canaries`). And a student that is
    trained long fits the labels it was given. That x_j was a member at all reaches the student's
    gradients through its features: against this only the student's own optimizer helps, such as a
    little noise. Teachers are not private and must be deleted, as must the labels.

    **Cost.** ``folds · repeats`` teachers, each on (folds − 1)/folds of the members: together as
    many steps as ``(folds − 1) · repeats`` plain trainings, and all in one compiled program.

    Args:
        train: the examples, N.
        model: what teachers are; usually the student's model.
        make_optimizer: of the teachers, as in `gujax.training.train_many`.
        folds: parts of each partition, 2 or more.
        repeats: partitions; every label is the mean of so many teachers' predictions.
        batch_size: examples per batch of the teachers.
        epochs: epochs of the teachers.
        key: PRNG key of partitions, initial parameters and batches.
        member_masks: examples that may be used, [N], or for several students at once, [S, N]; all
            if None. Nothing else enters the labels. Others are labelled by all teachers.
        groups: a number for each example, [N]: members of one group are in one fold, so that no
            teacher has seen what is alike (`gujax.data.near_duplicates`). They must not depend on
            labels. Every example by itself if None.

    Returns:
        Probabilities, [N, classes] or [S, N, classes], float32.

    Raises:
        ValueError: before training, if there are fewer than two folds, more folds than members, or
            a teacher would have no example of some class.
    """
    _, init_key, train_key = jax.random.split(typed_keys("key", key), 3)
    params = jax.eval_shape(model.init, init_key)
    logits = jax.eval_shape(
        model.apply, params, jax.ShapeDtypeStruct(train.x.shape[1:], train.x.dtype)
    )
    masks = check_folds(
        train,
        logits.shape[-1],
        folds=folds,
        repeats=repeats,
        key=key,
        member_masks=member_masks,
        groups=groups,
    )
    teachers = masks.reshape(-1, len(train))
    params = jax.vmap(model.init)(jax.random.split(init_key, len(teachers)))
    trained = train_many(
        cross_entropy_loss(model),
        params,
        train,
        make_optimizer,
        member_masks=teachers,
        keys=jax.random.split(train_key, len(teachers)),
        batch_size=batch_size,
        epochs=epochs,
    )
    predicted = np.asarray(_probabilities(model.apply, trained.params, jnp.asarray(train.x)))
    unseen = ~masks.reshape(*masks.shape[:-3], -1, len(train))
    predicted = predicted.reshape(*unseen.shape, -1)
    total = np.einsum("...tn,...tnc->...nc", unseen, predicted, dtype=np.float64)
    return (total / total.sum(axis=-1, keepdims=True)).astype(np.float32)


def check_folds(
    train: Split,
    num_classes: int,
    *,
    folds: int,
    repeats: int,
    key: PRNGKeyArray,
    member_masks: Bool[np.ndarray, "*students examples"] | None = None,
    groups: Int[np.ndarray, " examples"] | None = None,
) -> Bool[np.ndarray, "*students repeats folds examples"]:
    """Check what `out_of_fold_labels` needs, without training anything.

    Args:
        train: the examples, N.
        num_classes: number of classes.
        folds: parts of each partition.
        repeats: partitions.
        key: the key that `out_of_fold_labels` is going to be given: its partitions are checked.
        member_masks: examples that may be used.
        groups: as of `out_of_fold_labels`.

    Returns:
        Which members each teacher will be trained on, [repeats, folds, N] or [S, repeats, folds,
        N].

    Raises:
        ValueError: as of `out_of_fold_labels`.
    """
    check_count("repeats", repeats)
    members = np.ones(len(train), bool) if member_masks is None else np.asarray(member_masks)
    if members.shape[-1:] != (len(train),) or members.ndim > 2 or members.dtype != bool:
        raise ValueError(
            f"member_masks has shape {members.shape} and type {members.dtype}, expected "
            f"({len(train)},) or (students, {len(train)}) and bool"
        )
    fold_key, _, _ = jax.random.split(typed_keys("key", key), 3)
    if groups is not None and np.shape(groups) != (len(train),):
        raise ValueError(f"groups has shape {np.shape(groups)}, expected ({len(train)},)")
    masks = fold_masks(fold_key, members, folds, repeats, groups)
    y = class_labels("train.y", train.y, len(train), num_classes)
    teachers = masks.reshape(-1, len(train))
    for c in np.unique(y[teachers.any(axis=0)]):
        if not (teachers & (y == c)).any(axis=-1).all():
            raise ValueError(
                f"class {c} has so few members that a teacher would see none of it; take more "
                "examples, more folds or another key, or leave the class out"
            )
    return masks


def fold_masks(
    key: PRNGKeyArray,
    members: Bool[np.ndarray, "*students examples"],
    folds: int,
    repeats: int,
    groups: Int[np.ndarray, " examples"] | None = None,
) -> Bool[np.ndarray, "*students repeats folds examples"]:
    """Which members the teacher of each fold is trained on: all but those of the fold.

    Folds are equally large, up to one, or up to the largest group. They are drawn from the members
    alone, never from labels: an example's fold would otherwise tell its label.

    Args:
        key: PRNG key.
        members: examples to part, [..., N].
        folds: parts of each partition.
        repeats: partitions.
        groups: a number for each example, [N], the same for those that stay together.

    Returns:
        Masks, [..., repeats, folds, N]; every member is missing from one fold of each partition.

    Raises:
        ValueError: if there are fewer than two folds, or fewer members than folds.
    """
    members = np.asarray(members, bool)
    fewest = int(members.sum(axis=-1).min())
    if folds < 2:
        raise ValueError(
            f"folds={folds} must be at least 2: a teacher needs examples to learn from"
        )
    if fewest < folds:
        raise ValueError(
            f"folds={folds} are more than the {fewest} members to part; take fewer folds"
        )
    given = members[..., None, :]
    groups = np.arange(members.shape[-1]) if groups is None else np.asarray(groups)
    names, group = np.unique(groups, return_inverse=True)
    draws = np.asarray(
        jax.random.uniform(typed_keys("key", key), (*members.shape[:-1], repeats, len(names)))
    )[..., group]
    order = np.argsort(np.where(given, draws, np.inf), axis=-1, kind="stable")
    # Members in the order of their draws, each at the place of the first of its group.
    ordered = group[order]
    begins = np.diff(ordered, axis=-1, prepend=-1) != 0
    place = np.maximum.accumulate(np.where(begins, np.arange(len(group)), 0), axis=-1)
    fold = np.empty_like(place)
    np.put_along_axis(fold, order, place * folds // members.sum(axis=-1)[..., None, None], axis=-1)
    return given[..., None, :] & (fold[..., None, :] != np.arange(folds)[:, None])


@partial(jax.jit, static_argnums=0)
def _probabilities(
    apply: Apply, params: PyTree, x: Array
) -> Float[Array, "teachers examples classes"]:
    return jax.nn.softmax(jax.vmap(lambda one: predict(apply, one, x))(params), axis=-1)
