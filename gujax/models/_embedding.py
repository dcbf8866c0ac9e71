"""An embedding in the type of its parameters, and the layer that gives logits again."""

from flax import nnx

from gujax.models._language_config import LanguageConfig


class Embedding(nnx.Embed):
    """`nnx.Embed`, which would cast float64 parameters to the type it was built in."""

    def __init__(self, vocabulary: int, width: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        super().__init__(vocabulary, width, embedding_init=init, rngs=rngs)
        self.dtype = None


def output_layer(config: LanguageConfig, rngs: nnx.Rngs) -> nnx.Linear | None:
    """From the width to the vocabulary; None where the token embedding serves."""
    if config.tied:
        return None
    return nnx.Linear(config.width, config.vocabulary, use_bias=False, rngs=rngs)
