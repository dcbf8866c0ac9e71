"""Per-example gradients, dense or factored, and the linear algebra on them."""

from gujax.gradients._algebra import (
    DeferredGrads,
    gram,
    gram_and_sum,
    materialize,
    num_examples,
    squared_norms,
    weighted_sum,
)
from gujax.gradients._blocks import GroupOf, gram_by_blocks, gram_by_group
from gujax.gradients._explain import Explanation, explain
from gujax.gradients._factored import FactoredLeaf
from gujax.gradients._microbatch import MicrobatchedGrads
from gujax.gradients._per_example import per_example_grads, value_and_per_example_grads
from gujax.gradients._program import bind, inline
from gujax.gradients._sketch import sketch
from gujax.gradients._tracing import batch_size

__all__ = [
    "DeferredGrads",
    "Explanation",
    "FactoredLeaf",
    "GroupOf",
    "MicrobatchedGrads",
    "batch_size",
    "bind",
    "explain",
    "gram",
    "gram_and_sum",
    "gram_by_blocks",
    "gram_by_group",
    "inline",
    "materialize",
    "num_examples",
    "per_example_grads",
    "sketch",
    "squared_norms",
    "value_and_per_example_grads",
    "weighted_sum",
]
