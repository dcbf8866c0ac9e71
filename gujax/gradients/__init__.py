"""Per-example gradients, dense or factored, and the linear algebra on them."""

from gujax.gradients.algebra import (
    gram,
    materialize,
    num_examples,
    squared_norms,
    weighted_sum,
)
from gujax.gradients.explain import Explanation, explain
from gujax.gradients.microbatch import MicrobatchedGrads
from gujax.gradients.per_example import per_example_grads, value_and_per_example_grads
from gujax.gradients.sketch import sketch

__all__ = [
    "Explanation",
    "MicrobatchedGrads",
    "explain",
    "gram",
    "materialize",
    "num_examples",
    "per_example_grads",
    "sketch",
    "squared_norms",
    "value_and_per_example_grads",
    "weighted_sum",
]
