"""Small reference models, each an (init, apply) pair of pure functions."""

from gujax.models.convnet import convnet
from gujax.models.mlp import mlp
from gujax.models.model import Model, from_module

__all__ = ["Model", "convnet", "from_module", "mlp"]
