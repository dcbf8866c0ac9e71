"""Small reference models, each an (init, apply) pair of pure functions."""

from gujax._extras import extra

with extra("models"):
    from gujax.models._convnet import convnet
    from gujax.models._convolution import choose_convolution
    from gujax.models._gpt import gpt, gpt_attention_inputs
    from gujax.models._lenet import lenet
    from gujax.models._mlp import mlp
    from gujax.models._model import Model, from_module
    from gujax.models._resnet import resnet
    from gujax.models._standardization import standardized
    from gujax.models._vgg import vgg

__all__ = [
    "Model",
    "choose_convolution",
    "convnet",
    "from_module",
    "gpt",
    "gpt_attention_inputs",
    "lenet",
    "mlp",
    "resnet",
    "standardized",
    "vgg",
]
