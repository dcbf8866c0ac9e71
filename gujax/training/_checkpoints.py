"""Checkpoints of long trainings, from which an interrupted one goes on."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from gujax.training._result import EpochMetrics, StepMetrics
from gujax.validation import check_nonnegative


class Place(NamedTuple):
    """Where checkpoints go, and how often."""

    directory: Path
    every_seconds: float


class Checkpoint(NamedTuple):
    """A training after some of its epochs.

    Attributes:
        epochs: how many.
        params: parameters.
        opt_state: state of the optimizer.
        history: metrics of the epochs so far.
    """

    epochs: int
    params: PyTree
    opt_state: PyTree
    history: tuple[StepMetrics, EpochMetrics]


_PLACE: ContextVar[Place | None] = ContextVar("checkpoints", default=None)


@contextmanager
def checkpointing(directory: Path, every_seconds: float = 60.0) -> Iterator[None]:
    """Trainings inside the ``with`` block keep checkpoints, and go on from those they find.

    A training that was interrupted, and is started again with the same directory, continues after
    its newest complete checkpoint; the result is, bit for bit, that of an uninterrupted one. A
    checkpoint is found only by the training it belongs to: one with the same compiled program
    (model, loss, optimizer, batches) on the same data, initial parameters and keys. Others, in the
    same directory or not, do not disturb it.

    A ``callback`` is not called again for epochs that are restored.

    Args:
        directory: where to keep checkpoints; made when the first is written. Who completes the run
            may delete it.
        every_seconds: least time between two checkpoints, so that short trainings write none.

    Raises:
        ValueError: if ``every_seconds`` is negative.
    """
    check_nonnegative("every_seconds", every_seconds)
    reset = _PLACE.set(Place(Path(directory).absolute(), every_seconds))
    try:
        yield
    finally:
        _PLACE.reset(reset)


class Checkpoints:
    """The checkpoints of one training; does nothing outside of `checkpointing`.

    Args:
        inputs: all arrays that the training depends on.
        lower: lowers its compiled part, which tells all else that it depends on. It is called only
            where a checkpoint may lie or is written: lowering takes its time.
    """

    def __init__(self, inputs: PyTree, lower: Callable[[], jax.stages.Lowered]):
        self._place = _PLACE.get()
        self._lower = cache(lower)
        self._inputs = "" if self._place is None else _digest(jax.tree.leaves(inputs))
        self._saved = time.monotonic()

    def restore(self, params: PyTree, opt_state: PyTree) -> Checkpoint | None:
        """The newest complete checkpoint, if there is one.

        Args:
            params: the initial parameters.
            opt_state: the initial state of the optimizer.
        """
        if self._place is None or not self._place.directory.exists():
            return None
        with _manager(self._path()) as manager:
            epochs = manager.latest_step()
            if epochs is None:
                return None
            arrays = manager.restore(epochs)
        *_, history = self._lower().out_info
        leaves, structure = jax.tree.flatten((params, opt_state, history))
        restored = [
            _from_array(arrays[name], leaf) if name in arrays else leaf
            for name, leaf in _named(leaves)
        ]
        return Checkpoint(epochs, *jax.tree.unflatten(structure, restored))

    def is_due(self) -> bool:
        """Whether a checkpoint should be saved now."""
        if self._place is None:
            return False
        return time.monotonic() - self._saved >= self._place.every_seconds

    def save(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint and removes those before it."""
        import orbax.checkpoint as ocp  # takes a second to import, and most trainings are short

        epochs, *trees = checkpoint
        arrays = {name: _to_array(leaf) for name, leaf in _named(jax.tree.leaves(trees))}
        # Orbax stores no empty arrays; they are those of the initial state.
        stored = {name: array for name, array in arrays.items() if array.size}
        with _manager(self._path()) as manager:
            manager.save(epochs, args=ocp.args.StandardSave(stored))
        self._saved = time.monotonic()

    def _path(self) -> Path:
        assert self._place is not None
        program = hashlib.sha256(self._lower().as_text().encode()).hexdigest()
        return self._place.directory / f"{program[:12]}-{self._inputs[:12]}"


def _manager(path: Path):
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
    handlers = ocp.StandardCheckpointHandler()
    return ocp.CheckpointManager(path, options=options, item_handlers=handlers)


def _named(leaves: list[Any]) -> list[tuple[str, Any]]:
    return [(f"{index:06d}", leaf) for index, leaf in enumerate(leaves)]


def _to_array(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _from_array(array: np.ndarray, like: Any) -> Any:
    """The array as a leaf like another: of a typed PRNG key, its data were stored."""
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    if not isinstance(like, jax.Array):
        return array
    return jax.device_put(array, like.sharding) if like.committed else jnp.asarray(array)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _digest(leaves: list[Any]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        array = _to_array(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
