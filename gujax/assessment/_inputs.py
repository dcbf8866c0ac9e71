"""What is assessed, checked before anything takes long."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from gujax.validation import class_labels

Apply = Callable[[Any, Any], Any]

_ROWS = 1024  # examples at a time
_FEWEST = 20  # on each side; fewer say nothing
_FEW = 200  # held-out examples; fewer leave wide intervals
_FAR = 0.5  # deviations between means that no random split explains
_SCALE = 1.5  # ratio of deviations, likewise


class Pool(NamedTuple):
    """Members, then held-out examples.

    Attributes:
        x: inputs, every leaf [N, ...].
        y: classes, [N].
        members: which are members, [N].
        num_classes: C.
        warnings: what a reader should know of the data, sentences.
        unsafe: why no prediction from these data should be trusted, sentences.
    """

    x: chex.ArrayTree
    y: Int[np.ndarray, " pool"]
    members: Bool[np.ndarray, " pool"]
    num_classes: int
    warnings: tuple[str, ...]
    unsafe: tuple[str, ...]


def checked_pool(apply: Apply, params: Any, members: Any, held_out: Any) -> Pool:
    """Members and held-out examples as one pool.

    Raises:
        ValueError: they cannot be what they should be, see `gujax.assess`.
    """
    parts = {"members": _pair("members", members), "held_out": _pair("held_out", held_out)}
    inside, outside = (_flat(name, x) for name, (x, _) in parts.items())
    _check_alike(parts["members"][0], parts["held_out"][0])
    num_classes = _count_classes(apply, params, parts["members"][0])
    y_in, y_out = (
        class_labels(f"{name}[1]", y, len(x), num_classes)
        for (name, (_, y)), x in zip(parts.items(), (inside, outside))
    )
    for name, x in (("members", inside), ("held_out", outside)):
        if len(x) < _FEWEST:
            raise ValueError(f"{name} has {len(x)} examples; at least {_FEWEST} are needed")
        if wrong := int((~np.isfinite(x)).any(axis=1).sum()):
            raise ValueError(f"{name}[0] has {wrong} examples with values that are not finite")
    repeated = _check_separate(inside, y_in, outside, y_out)
    x = jax.tree.map(lambda a, b: np.concatenate([a, b]), *(x for x, _ in parts.values()))
    return Pool(
        x,
        np.concatenate([y_in, y_out]),
        np.arange(len(y_in) + len(y_out)) < len(y_in),
        num_classes,
        (*repeated, *_few(len(y_out))),
        _other_preprocessing(inside, outside),
    )


def checked_reruns(
    params: Any, rerun: Any, pool: Pool
) -> list[tuple[Any, Bool[np.ndarray, " pool"]]]:
    """Parameters of every rerun, and which of the pool it was trained on.

    Raises:
        ValueError: they do not fit the model, or the pool.
    """
    if rerun is None:
        return []
    if not isinstance(rerun, tuple | list) or not rerun:
        raise ValueError("rerun must be a pair (params, mask), or a sequence of such pairs")
    if not all(map(_is_rerun, rerun)):
        return [_checked_rerun("rerun", params, rerun, pool)]
    return [_checked_rerun(f"rerun[{i}]", params, one, pool) for i, one in enumerate(rerun)]


def _is_rerun(value: Any) -> bool:
    """Whether it is a pair with a mask, and not parameters or a mask."""
    return isinstance(value, tuple | list) and len(value) == 2 and hasattr(value[1], "shape")


def _checked_rerun(
    name: str, params: Any, rerun: Any, pool: Pool
) -> tuple[Any, Bool[np.ndarray, " pool"]]:
    if len(rerun) != 2:
        raise ValueError(f"{name} must be a pair (params, mask)")
    again, mask = rerun
    if _shapes(params) != _shapes(again):
        raise ValueError(f"{name}[0] has other parameters than params; train the same model again")
    mask = np.asarray(mask)
    if mask.shape != pool.members.shape or mask.dtype != bool:
        raise ValueError(
            f"{name}[1] is of shape {mask.shape} and type {mask.dtype}; it must be boolean, one "
            f"entry for each of the members, then of the held-out examples, ({len(pool.members)},)"
        )
    left, alike = np.sum(pool.members & ~mask), np.sum(pool.members == mask)
    if min(left, alike) < _FEWEST:
        raise ValueError(
            f"{name}[1] leaves out {left} members and treats {alike} examples like the model; both "
            f"must be at least {_FEWEST}, so train the rerun on another random half"
        )
    return again, mask


def _shapes(params: Any) -> list[tuple[Any, tuple[int, ...]]]:
    """Names and shapes of parameters."""
    return [(path, jnp.shape(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]


def label_noise(
    pool: Pool, phi: Float[np.ndarray, " pool"], right: Bool[np.ndarray, " pool"]
) -> tuple[str, ...]:
    """A hint at labels that are wrong: where the model is wrong, it mostly is so with certainty."""
    outside = ~pool.members
    wrong = outside & ~right
    sure = wrong & (phi < np.log(0.01 / 0.99))
    if sure.sum() < max(0.02 * outside.sum(), 0.5 * wrong.sum()):
        return ()
    share = sure.sum() / outside.sum()
    return (
        f"The model gives {sure.sum()} held-out examples ({100 * share:.1f} %) less than 1 % "
        "probability of their label: some labels may be wrong, and wrongly labelled members are "
        "the most exposed.",
    )


def _pair(name: str, value: Any) -> tuple[chex.ArrayTree, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} must be a pair (x, y) of inputs and classes")
    x, y = value
    x, y = jax.tree.map(np.asarray, x), np.asarray(y)
    leaves = jax.tree.leaves(x)
    if not leaves or {(*leaf.shape, None)[0] for leaf in leaves} != {(*y.shape, None)[0]}:
        raise ValueError(
            f"{name} holds inputs of shape {[leaf.shape for leaf in leaves]} and labels of shape "
            f"{y.shape}; both need one entry per example"
        )
    return x, y


def _flat(name: str, x: chex.ArrayTree) -> Float[np.ndarray, "examples features"]:
    """All features of an example in one row; not copied where they are floats of one array."""
    leaves = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(x)]
    if len(leaves) == 1 and leaves[0].dtype in (np.float32, np.float64):
        return leaves[0]
    try:
        return np.concatenate([leaf.astype(np.float64) for leaf in leaves], axis=1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}[0] must hold numbers") from error


def _moments(x: Float[np.ndarray, "examples features"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every feature, in float64 of a part of the examples at a time."""
    center = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros(x.shape[1])
    for start in range(0, len(x), _ROWS):
        squares += np.square(x[start : start + _ROWS] - center).sum(axis=0)
    return center, squares / len(x)


def _check_alike(inside: chex.ArrayTree, outside: chex.ArrayTree) -> None:
    one, other = (
        [(leaf.shape[1:], leaf.dtype) for leaf in jax.tree.leaves(x)] for x in (inside, outside)
    )
    if one != other:
        raise ValueError(
            f"held_out[0] has examples of shape and type {other}, members[0] of {one}; prepare "
            "them in the same way"
        )


def _count_classes(apply: Apply, params: Any, x: chex.ArrayTree) -> int:
    two = jax.tree.map(lambda leaf: leaf[:2], x)
    shape = jnp.shape(jax.eval_shape(apply, params, two))
    if len(shape) != 2 or shape[0] != 2 or shape[1] < 2:
        raise ValueError(
            f"apply gives {shape} for a batch of two examples; it must give logits [2, C] with "
            "C ≥ 2 (for one logit z: jnp.stack([0 * z, z], axis=-1))"
        )
    return shape[1]


def _check_separate(
    inside: np.ndarray, y_in: np.ndarray, outside: np.ndarray, y_out: np.ndarray
) -> list[str]:
    """Refuses held-out members; tells of repetitions within."""
    known: dict[bytes, int] = {}
    repeated = contradicted = 0
    rows, others = (list(map(_digest, part)) for part in (inside, outside))
    for i, row in enumerate(rows):
        first = known.setdefault(row, i)
        repeated += first != i
        contradicted += first != i and y_in[first] != y_in[i]
    shared = [(j, known[row]) for j, row in enumerate(others) if row in known]
    if shared:
        j, i = shared[0]
        raise ValueError(
            f"held_out has {len(shared)} examples that are members too (held_out {j} is member "
            f"{i}); leave them out, they were trained on"
        )
    again = len(others) - len(set(others))
    found = []
    if repeated or again:
        found.append(
            f"{repeated} members and {again} held-out examples repeat another: each copy hides the "
            "others, and an attack on what they share finds more than is predicted."
        )
    if contradicted:
        found.append(f"{contradicted} members repeat the input of another with another label.")
    return found


def _digest(row: np.ndarray) -> bytes:
    """What stands for an example: all of them at once would be the data once more."""
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def _few(held_out: int) -> list[str]:
    if held_out >= _FEW:
        return []
    return [f"Only {held_out} held-out examples: the calibration, and so all intervals, are wide."]


def _other_preprocessing(inside: np.ndarray, outside: np.ndarray) -> tuple[str, ...]:
    """Whether mean or scale of the features are further apart than a random split can make them."""
    (center, variance), (center_out, variance_out) = _moments(inside), _moments(outside)
    used = variance > 1e-12 * max(variance.max(), 1e-300)
    if not used.any():
        return ()
    apart, share = center_out - center, len(outside) / (len(inside) + len(outside))
    # Of all together: a feature that is rare may by chance hardly vary among members.
    pooled = (1 - share) * variance + share * variance_out + share * (1 - share) * apart**2
    off = np.sqrt(np.mean(apart[used] ** 2 / pooled[used]))
    chance = np.sqrt(1 / len(inside) + 1 / len(outside))
    scale = np.sqrt(np.mean(variance_out[used]) / np.mean(variance[used]))
    if off < _FAR + 3 * chance and 1 / _SCALE < scale < _SCALE:
        return ()
    return (
        f"held_out seems to be prepared in another way than members: its features are {off:.2g} "
        f"deviations away on average, and spread {scale:.2g} times as widely.",
    )
