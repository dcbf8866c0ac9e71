"""One file per primitive (or family): how the gradient it outputs decomposes into factors.

Importing the package fills the table `gujax.gradients._program.RULES`.
"""

from gujax.gradients.rules import (  # noqa: F401
    _branches,
    _convolution,
    _embedding,
    _loops,
    _matrix_product,
    _ragged,
    _structural,
)
