"""Programs of tests on several devices: processes of their own, with so many devices of the CPU."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(module, output, devices, *arguments):
    """Start a program of the tests with that many CPU devices.

    Args:
        module: its dotted name; its first argument is `output`, the file that it writes.
    """
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", module, str(output), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(*workers):
    """Wait for all, kill all if one fails, and return what the failure printed."""
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=240)
            assert worker.returncode == 0, errors[-4000:]
    finally:
        for worker in workers:
            worker.kill()
