"""Defenses: models and labels that disclose less.

Against the reconstruction of inputs from shared gradients:

PRECODE and CVB change the model: `insert_bottleneck`, trained with `bottleneck_loss`; so does
`insert_dropout`, trained with `randomized_loss`. Perturbations change the gradient. `local_steps`
shares an update of several steps. The transformations of `gujax.transforms` are defenses too.
Against membership inference: `out_of_fold_labels`, soft labels of teachers that did not see the
example.

A bottleneck is no defense without its adaptive attack beside it: one that matches only
``inversion.without(*model.stochastic)``, one that averages over the noise, `noise_averaged`, and
one that reads what the noise did from the encoder's own gradient, `encoder_loss`.
"""

from gujax._extras import extra

with extra("models"):
    from gujax.defenses._bottleneck import (
        BuildBottleneck,
        VariationalBottleneck,
        convolutional,
        divergence_bits,
        linear,
        reparameterize,
    )
    from gujax.defenses._dropout import insert_dropout
    from gujax.defenses._federated import local_steps
    from gujax.defenses._out_of_fold import check_folds, fold_masks, out_of_fold_labels
    from gujax.defenses._perturbation import (
        gaussian_noise,
        laplacian_noise,
        partial_perturbation,
        perturb,
        prune,
    )
    from gujax.defenses._precode import (
        BottleneckModel,
        bottleneck_loss,
        encoder_loss,
        insert_bottleneck,
    )
    from gujax.defenses._randomized import RandomizedModel, noise_averaged, randomized_loss

__all__ = [
    "BottleneckModel",
    "BuildBottleneck",
    "RandomizedModel",
    "VariationalBottleneck",
    "bottleneck_loss",
    "check_folds",
    "convolutional",
    "divergence_bits",
    "encoder_loss",
    "fold_masks",
    "gaussian_noise",
    "insert_bottleneck",
    "insert_dropout",
    "laplacian_noise",
    "linear",
    "local_steps",
    "noise_averaged",
    "out_of_fold_labels",
    "partial_perturbation",
    "perturb",
    "prune",
    "randomized_loss",
    "reparameterize",
]
