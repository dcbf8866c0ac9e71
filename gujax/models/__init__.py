"""Models, each an (init, apply) pair of pure functions: small ones, and language models."""

from gujax._extras import extra

with extra("models"):
    from gujax.models._convnet import convnet
    from gujax.models._convolution import choose_convolution
    from gujax.models._gguf import from_gguf
    from gujax.models._gpt import gpt, gpt_attention_inputs
    from gujax.models._language import LanguageModel, generate, language_model
    from gujax.models._language_config import LanguageConfig
    from gujax.models._lenet import lenet
    from gujax.models._lora import Lora, lora
    from gujax.models._mlp import mlp
    from gujax.models._model import Model, from_module
    from gujax.models._resnet import resnet
    from gujax.models._safetensors import from_safetensors
    from gujax.models._standardization import standardized
    from gujax.models._vgg import vgg

__all__ = [
    "LanguageConfig",
    "LanguageModel",
    "Lora",
    "Model",
    "choose_convolution",
    "convnet",
    "from_gguf",
    "from_module",
    "from_safetensors",
    "generate",
    "gpt",
    "gpt_attention_inputs",
    "language_model",
    "lenet",
    "lora",
    "mlp",
    "resnet",
    "standardized",
    "vgg",
]
