"""An embedding in the type of its parameters."""

from flax import nnx


class Embedding(nnx.Embed):
    """`nnx.Embed`, which would cast float64 parameters to the type it was built in."""

    def __init__(self, vocabulary: int, width: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.02)
        super().__init__(vocabulary, width, embedding_init=init, rngs=rngs)
        self.dtype = None
