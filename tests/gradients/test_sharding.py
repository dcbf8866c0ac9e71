"""A sharded batch gives the numbers of a single device, in one process and in two."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def start(output, devices, *arguments):
    """Start the worker with that many CPU devices."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.gradients.sharding_worker", str(output), *arguments]
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


def assert_same(results, placements):
    """Equal to 1e-6 of the largest entry of each result, as float32 allows."""
    names = [name.removeprefix("alone|") for name in results.files if name.startswith("alone|")]
    assert len(names) == 3 + 6  # the Gram matrix, norms, GNQ, and an update of each parameter
    for placement, name in itertools.product(placements, names):
        expected, found = results[f"alone|{name}"], results[f"{placement}|{name}"]
        scale = np.max(np.abs(expected))
        assert scale > 0
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-6 * scale, err_msg=f"{placement}: {name}"
        )


def test_eight_devices(tmp_path):
    output = tmp_path / "devices.npz"
    finish(start(output, 8))
    results = np.load(output)
    assert results["num_devices"] == 8
    assert_same(results, ["replicated", "sharded over data", "sharded over model", "explicit"])
    names = [name.split("|")[1] for name in results.files if name.startswith("clipped alone")]
    assert len(names) == 1 + 6  # the norms, and the sum for each parameter
    for way, name in itertools.product(["in shard_map", "outside of jit"], names):
        expected, found = results[f"clipped alone|{name}"], results[f"clipped {way}|{name}"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.max(np.abs(expected)))

    # A language model whose parameters and texts are spread over all devices.
    names = [name.split("|")[1] for name in results.files if name.startswith("language alone|")]
    assert results["language split"] == 11  # all of its parameters
    assert len(names) == 2 + 2 * 11
    for name in names:
        expected, found = results[f"language alone|{name}"], results[f"language sharded|{name}"]
        # Adam divides gradients by their own size, small ones and their rounding too.
        scale = 1 if "params" in name else np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * scale, err_msg=name)


def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    outputs = [tmp_path / f"process{i}.npz" for i in range(2)]
    finish(*(start(outputs[i], 2, coordinator, str(i), "2") for i in range(2)))
    for output in outputs:
        results = np.load(output)
        assert results["num_devices"] == 4
        assert_same(
            results, ["sharded over model", "explicit"]
        )  # the batch is split between the processes
