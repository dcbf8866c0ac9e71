"""What measuring a batch adds to a plain step, which forms its mean gradient in any case."""

import math
from typing import NamedTuple

from gujax.gradients._cost import forming_flops
from gujax.gradients._factored import aligned
from gujax.gradients._plan import LeafPlan


class Added(NamedTuple):
    """Floating-point operations, and bytes that are formed: written and read again."""

    flops: int
    formed: int


def added_by_audit(leaf: LeafPlan, examples: int) -> Added:
    """What the Gram matrix of one parameter takes beside the mean of its gradients.

    It is what `gram_and_sum` does, without the products that a plain step multiplies out as well.
    """
    if leaf.audit is None or leaf.formed:
        elements = examples * math.prod(leaf.shape)
        return Added(2 * examples * elements, leaf.dtype.itemsize * elements)
    shared = 0
    if aligned(leaf.collapsed):  # else products are formed once more for the mean
        shared = forming_flops([sizes for sizes, _ in leaf.collapsed], examples)
    return Added(leaf.audit.flops - shared, leaf.audit.formed)
