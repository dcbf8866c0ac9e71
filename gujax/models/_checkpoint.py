"""Parameters of a published checkpoint, under the names that our models have for them."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from gujax.models._model import Model


@dataclass(frozen=True)
class Names:
    """What a file calls our layers; ``{}`` stands for the number of a block.

    Attributes:
        outside: of the layers outside of the blocks.
        block: what names inside of a block start with.
        inside: of the layers of a block.
        ignored: ends of names of tensors that are no parameters.
        transposed: whether matrices of the blocks are stored as [outputs, inputs].
    """

    outside: dict[str, str]
    block: str
    inside: dict[str, str]
    ignored: tuple[str, ...] = ()
    transposed: bool = True

    def tensor(self, path: tuple) -> tuple[str, bool]:
        """The name of the tensor at a path of the parameters' tree, and whether to transpose it."""
        *_, layer, leaf = path
        ours = path[0] == "blocks"
        start = self.block.format(path[1]) + self.inside[layer] if ours else self.outside[layer]
        name = f"{start}.{'bias' if leaf == 'bias' else 'weight'}"
        return name, leaf == "kernel" and (self.transposed or not ours)


def read_params(
    model: Model,
    names: Names,
    read: Callable[[str], np.ndarray],
    available: Collection[str],
    source: str,
) -> PyTree:
    """The parameters of a model, float32.

    Args:
        model: the model.
        names: what the file calls them.
        read: gives a tensor by its name.
        available: names of all tensors of the checkpoint.
        source: what to call it in errors.

    Raises:
        ValueError: if a tensor is missing, has another shape than the configuration says, or is
            not part of the model.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    used = set()

    def load(path: tuple, expected: jax.ShapeDtypeStruct) -> jax.Array:
        name, transpose = names.tensor(tuple(entry.key for entry in path))
        if name not in available:
            raise ValueError(
                f"{source} has no tensor {name!r}, which its configuration asks for; get the whole "
                "checkpoint"
            )
        used.add(name)
        array = read(name)
        array = array.T if transpose else array
        if array.shape != expected.shape:
            stored = array.shape[::-1] if transpose else array.shape
            wanted = expected.shape[::-1] if transpose else expected.shape
            raise ValueError(
                f"{source}: tensor {name!r} has shape {stored}, the configuration makes it "
                f"{wanted}; they do not belong together"
            )
        return jnp.asarray(array, jnp.float32)

    params = jax.tree_util.tree_map_with_path(load, shapes)
    left = sorted(name for name in set(available) - used if not name.endswith(names.ignored))
    if left:
        raise ValueError(
            f"{source} has the tensor {left[0]!r}, for which the model has no place"
            + (f" (and {len(left) - 1} more)" if left[1:] else "")
            + "; it is of another architecture than its configuration says"
        )
    return params


@contextmanager
def values_of(source: str) -> Iterator[None]:
    """Say of a file whose entries are of a kind that nobody expects what is wrong with it.

    Raises:
        ValueError: in place of what Python raises for such entries.
    """
    try:
        yield
    except (TypeError, AttributeError, KeyError, ZeroDivisionError) as error:
        raise ValueError(
            f"{source} has an entry of a kind or a size that makes no sense "
            f"({type(error).__name__}: {error}); get it again"
        ) from None


def check_tokenizer(tokenizer, vocabulary: int, source: str) -> None:
    """Check that every token has a row of the embedding.

    Raises:
        ValueError: if it does not fit.
    """
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= vocabulary:
        raise ValueError(
            f"{source}: the tokenizer has a token {largest}, the model's vocabulary ends at "
            f"{vocabulary - 1}; use the tokenizer that the model was trained with"
        )
