"""A sharded batch gives the numbers of a single device, in one process and in two."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PLACEMENTS = ("replicated", "sharded over data", "sharded over model")
ROOT = Path(__file__).parents[2]


def start(output, devices, *arguments):
    """Start the worker with that many CPU devices."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
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


@pytest.fixture(scope="module")
def eight_devices(tmp_path_factory):
    output = tmp_path_factory.mktemp("sharding") / "devices.npz"
    finish(start(output, 8))
    return np.load(output)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharding")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    outputs = [folder / f"process{i}.npz" for i in range(2)]
    finish(*(start(outputs[i], 2, coordinator, str(i), "2") for i in range(2)))
    return [np.load(output) for output in outputs]


def assert_same(results, placement):
    """Equal to 1e-6 of the largest entry of each result, as float32 allows."""
    names = [name.removeprefix("alone|") for name in results.files if name.startswith("alone|")]
    assert len(names) > 30
    for name in names:
        expected, found = results[f"alone|{name}"], results[f"{placement}|{name}"]
        scale = np.max(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_eight_devices(eight_devices, placement):
    assert eight_devices["num_devices"] == 8
    assert_same(eight_devices, placement)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_two_processes(two_processes, placement):
    for results in two_processes:
        assert results["num_devices"] == 4
        assert_same(results, placement)
