"""Programs run for moments in tests: there, compiling quickly matters more than running quickly.

Tests, the jobs they start and the notebooks all inherit these flags. What is set before is left as
it is: `XLA_FLAGS= make test` compiles as users do.
"""

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
)
