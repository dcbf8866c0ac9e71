"""Gradient inversion: the inputs, from the gradient that was shared about them.

The search is put together from parts: a matching loss over chosen leaves, a regularizer, a box, an
optimizer, a start. `dlg` and `inverting_gradients` are published choices; `surrogate_relu` keeps a
search from being trapped by ReLUs. `first_layer_input`, `idlg_label` and `count_labels` need no
search.
"""

from gujax._extras import extra

with extra("attacks"):
    from gujax.attacks.inversion._analytic import first_layer_input
    from gujax.attacks.inversion._assignment import match_to_truth
    from gujax.attacks.inversion._attack import GradientMatching, dlg, inverting_gradients
    from gujax.attacks.inversion._invert import Reconstruction, invert, invert_many
    from gujax.attacks.inversion._labels import count_labels, idlg_label
    from gujax.attacks.inversion._matching import MatchingLoss, cosine_distance, squared_distance
    from gujax.attacks.inversion._metrics import ImageQuality, feature_error, image_quality
    from gujax.attacks.inversion._priors import box, standard_normal, total_variation, uniform
    from gujax.attacks.inversion._surrogate import surrogate_relu
    from gujax.training import batch_gradient
    from gujax.trees import every_leaf, only, without

__all__ = [
    "GradientMatching",
    "ImageQuality",
    "MatchingLoss",
    "Reconstruction",
    "batch_gradient",
    "box",
    "cosine_distance",
    "count_labels",
    "dlg",
    "every_leaf",
    "feature_error",
    "first_layer_input",
    "idlg_label",
    "image_quality",
    "invert",
    "invert_many",
    "inverting_gradients",
    "match_to_truth",
    "only",
    "squared_distance",
    "standard_normal",
    "surrogate_relu",
    "total_variation",
    "uniform",
    "without",
]
