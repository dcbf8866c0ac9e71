"""A sharded batch gives the numbers of a single device, in one process and in two."""

import itertools
import socket

import numpy as np

from tests.devices import finish, start

WORKER = "tests.gradients.sharding_worker"


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
    finish(start(WORKER, output, 8))
    results = np.load(output)
    assert results["num_devices"] == 8
    assert_same(results, ["replicated", "sharded over data", "sharded over model", "explicit"])
    # One example's gradient of the kernel, which is what the mean has: never those of all examples.
    assert results["largest gathered"] == 3 * 32 * 16
    names = [name.split("|")[1] for name in results.files if name.startswith("clipped alone")]
    assert len(names) == 1 + 6  # the norms, and the sum for each parameter
    for way, name in itertools.product(["in shard_map", "outside of jit"], names):
        expected, found = results[f"clipped alone|{name}"], results[f"clipped {way}|{name}"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.max(np.abs(expected)))


def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    outputs = [tmp_path / f"process{i}.npz" for i in range(2)]
    finish(*(start(WORKER, outputs[i], 2, coordinator, str(i), "2") for i in range(2)))
    for output in outputs:
        results = np.load(output)
        assert results["num_devices"] == 4
        assert_same(
            results, ["sharded over model", "explicit"]
        )  # the batch is split between the processes
