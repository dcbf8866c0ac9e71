"""One file per primitive (or family): how the gradient it outputs decomposes into factors.

Importing the package fills the table `gujax.gradients.program.RULES`.
"""

from gujax.gradients.rules import (  # noqa: F401
    branches,
    convolution,
    embedding,
    loops,
    matrix_product,
    ragged,
    structural,
)
