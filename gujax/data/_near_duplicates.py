"""Which examples are nearly the same."""

import numpy as np
from jaxtyping import ArrayLike, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gujax.validation import check_positive

_NEIGHBOURS = 10
_BLOCK = 1024  # examples whose distances to all others are in memory at a time


def near_duplicates(x: ArrayLike, *, within: float = 0.5) -> Int[np.ndarray, " examples"]:
    """Groups of near-duplicates, found by their inputs alone.

    Two examples are near-duplicates if they are nearer to each other than `within` times what
    either is from its tenth nearest neighbour, so that examples of a dense region, such as the ones
    among digits, are not duplicates for lying there. All that such pairs connect is one group. The
    distance is Euclidean, with every feature in units of its standard deviation. What is alike in
    another sense, such as a shifted picture, needs groups of your own, and so do more than ten that
    are alike: of those the tenth neighbour is one of them, and they look like a dense region.

    Takes N² inner products.

    Args:
        x: inputs, [N, ...], two examples or more.
        within: share of the distance to the tenth neighbour, or the last if there are fewer;
            positive.

    Returns:
        A number for each example, [N], the same within a group; from 0.

    Raises:
        ValueError: if there are fewer than two examples or ``within`` is not positive.
    """
    check_positive("within", within)
    rows = np.asarray(x, np.float64)
    if len(rows) < 2:
        raise ValueError(f"x has {len(rows)} examples; near-duplicates are of two or more")
    rows = rows.reshape(len(rows), -1)
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    squares = np.square(rows).sum(axis=1)

    def distances(block: slice) -> Float[np.ndarray, "block examples"]:
        scale = squares[block, None] + squares
        found = scale - 2 * rows[block] @ rows.T
        found[found < 1e-9 * scale] = 0  # what is the same but for rounding
        found[np.arange(len(found)), np.arange(len(rows))[block]] = np.inf
        return np.sqrt(found)

    blocks = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]
    nth = min(_NEIGHBOURS, len(rows) - 1) - 1
    own = [np.partition(distances(block), nth, axis=1)[:, nth] for block in blocks]
    radius = within * np.concatenate(own)
    close = [
        np.nonzero(distances(block) <= np.minimum(radius[block, None], radius)) for block in blocks
    ]
    first = np.concatenate([block.start + rows_of for block, (rows_of, _) in zip(blocks, close)])
    second = np.concatenate([others for _, others in close])
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(rows),) * 2)
    return connected_components(graph, directed=False)[1]
