"""Small reference models, each an (init, apply) pair of pure functions."""

from gujax._extras import extra

with extra("models"):
    from gujax.models.convnet import convnet
    from gujax.models.gpt import gpt
    from gujax.models.lenet import lenet
    from gujax.models.mlp import mlp
    from gujax.models.model import Model, from_module
    from gujax.models.resnet import resnet
    from gujax.models.standardization import standardized
    from gujax.models.vgg import vgg

__all__ = [
    "Model",
    "convnet",
    "from_module",
    "gpt",
    "lenet",
    "mlp",
    "resnet",
    "standardized",
    "vgg",
]
