"""Programs run for moments in tests: there, compiling quickly matters more than running quickly.

Jobs that tests start inherit the flags. Flags that are set already are left as they are:
`XLA_FLAGS= make test` compiles as for users.
"""

import gc
import os

import pytest

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
)


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """What one module compiled serves no other; kept, it takes gigabytes."""
    yield
    import jax  # after the flags above

    jax.clear_caches()
    gc.collect()
