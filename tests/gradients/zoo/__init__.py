"""Losses of every shape that a JAX user may write, each with parameters and a batch.

`CASES[name]()` builds a `Case`; call it inside float64. One module per family.
"""

from tests.gradients.zoo import (
    complex_values,
    containers,
    control_flow,
    convolutions,
    custom_derivatives,
    layers,
    lookups,
    products,
    sharing,
    unstructured,
    views,
)
from tests.gradients.zoo.case import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "complex_values",
    "containers",
    "control_flow",
    "convolutions",
    "custom_derivatives",
    "layers",
    "lookups",
    "products",
    "sharing",
    "unstructured",
    "views",
]
