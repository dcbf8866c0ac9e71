"""Programs run for moments in tests: there, compiling quickly matters more than running quickly.

Jobs that tests start inherit the flags. Flags that are set already are left as they are:
`XLA_FLAGS= make test` compiles as for users.
"""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
)

# Each process of pytest-xdist keeps to a processor: threads of several that wait for one another on
# all of them double what the tests take.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and hasattr(os, "sched_setaffinity"):
    PROCESSORS = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {PROCESSORS[int(WORKER.removeprefix("gw")) % len(PROCESSORS)]})

# What one test compiled another finds on disk, in whichever process, until the session ends.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    PROGRAMS = tempfile.mkdtemp(prefix="programs-")
    atexit.register(shutil.rmtree, PROGRAMS, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """What was compiled is forgotten before it takes too much memory: kept, it takes 5 GB."""
    yield
    if memory_in_use() > 2.5e9:
        import jax  # after the flags above

        jax.clear_caches()
        gc.collect()


def memory_in_use():
    """Bytes of this process; infinite where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE")
