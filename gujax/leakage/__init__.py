"""What the gradient of each layer gives away, about an attribute and about the input.

A layer is a prefix of the parameter tree; `split_layers` of per-example gradients gives the
representation of each.
"""

from gujax._extras import extra

with extra("attacks"):
    from gujax.leakage._layers import (
        as_matrix,
        coordinates_from_gram,
        layer_names,
        layers_by_use,
        principal_coordinates,
        split_layers,
    )
    from gujax.leakage._sensitivity import Sensitivity, input_sensitivity
    from gujax.leakage._subspace import SubspaceDistance, subspace_distance
    from gujax.leakage._v_information import (
        Family,
        VInformation,
        assign_folds,
        linear,
        mlp,
        v_information,
    )

__all__ = [
    "Family",
    "Sensitivity",
    "SubspaceDistance",
    "VInformation",
    "as_matrix",
    "assign_folds",
    "coordinates_from_gram",
    "input_sensitivity",
    "layer_names",
    "layers_by_use",
    "linear",
    "mlp",
    "principal_coordinates",
    "split_layers",
    "subspace_distance",
    "v_information",
]
