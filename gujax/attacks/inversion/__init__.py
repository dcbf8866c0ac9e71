"""Gradient inversion: the inputs, from the gradient that was shared about them.

The search is put together from parts: a matching loss over chosen leaves, a regularizer, a box, an
optimizer, a start. `dlg` and `inverting_gradients` are published choices; `surrogate_relu` keeps a
search from being trapped by ReLUs. `first_layer_input`, `idlg_label` and `count_labels` need no
search. Neither do `lone_inputs` and `spear`, which read batches from a first fully connected layer,
and `dager`, which reads texts from attention: what they find is exact and they know it; where
their conditions do not hold they raise `NotInvertible` with the reason.
"""

from gujax._extras import extra

with extra("attacks"):
    from gujax.attacks.inversion._analytic import first_layer_input
    from gujax.attacks.inversion._assignment import match_to_truth
    from gujax.attacks.inversion._attack import GradientMatching, dlg, inverting_gradients
    from gujax.attacks.inversion._dager import Texts, dager
    from gujax.attacks.inversion._exact import NotInvertible
    from gujax.attacks.inversion._invert import Reconstruction, invert, invert_many
    from gujax.attacks.inversion._labels import count_labels, idlg_label
    from gujax.attacks.inversion._lone_units import LoneInputs, lone_inputs
    from gujax.attacks.inversion._matching import MatchingLoss, cosine_distance, squared_distance
    from gujax.attacks.inversion._metrics import ImageQuality, feature_error, image_quality
    from gujax.attacks.inversion._priors import box, standard_normal, total_variation, uniform
    from gujax.attacks.inversion._spear import ExactBatch, spear
    from gujax.attacks.inversion._surrogate import surrogate_relu
    from gujax.training import batch_gradient
    from gujax.trees import every_leaf, only, without

__all__ = [
    "ExactBatch",
    "GradientMatching",
    "ImageQuality",
    "LoneInputs",
    "MatchingLoss",
    "NotInvertible",
    "Reconstruction",
    "Texts",
    "batch_gradient",
    "box",
    "cosine_distance",
    "count_labels",
    "dager",
    "dlg",
    "every_leaf",
    "feature_error",
    "first_layer_input",
    "idlg_label",
    "image_quality",
    "invert",
    "invert_many",
    "inverting_gradients",
    "lone_inputs",
    "match_to_truth",
    "only",
    "spear",
    "squared_distance",
    "standard_normal",
    "surrogate_relu",
    "total_variation",
    "uniform",
    "without",
]
