"""Time and memory of a step on so many devices, from what it takes and from data sheets."""

from typing import NamedTuple

from experiments.jobs.benchmark.work import ITEM, Work

# An H100 (SXM), by NVIDIA's data sheet: operations per second in bfloat16 (without sparsity) and in
# float32, in which Gram matrices are; bytes per second of memory and, one way, of NVLink; bytes.
BFLOAT16, FLOAT32 = 989e12, 67e12
BANDWIDTH, LINK = 3.35e12, 450e9
MEMORY = 80e9

# What of these a program is assumed to reach: of arithmetic, and of memory and links.
ARITHMETIC_SHARE, TRAFFIC_SHARE = 0.4, 0.7

# Bytes of both of Adam's moments of a parameter, in float32.
MOMENTS = 8


class Cost(NamedTuple):
    """Seconds of a step, and bytes on each device."""

    seconds: float
    memory: float


def plain_cost(work: Work, devices: int) -> Cost:
    """A plain step, parameters and texts split over the devices as by FSDP.

    Every device reads all parameters twice and writes their gradient; whatever of these belongs to
    other devices is exchanged. The optimizer works on what a device has.
    """
    weights, own = ITEM * work.parameters, work.parameters / devices
    traffic = 3 * weights + (3 * ITEM + 2 * MOMENTS) * own + 2 * work.activations / devices
    seconds = _longer(work.operations / devices / BFLOAT16, traffic)
    memory = (2 * ITEM + MOMENTS) * own + work.activations / devices
    return Cost(seconds + _exchange(3 * weights, devices), memory)


def audited_cost(work: Work, devices: int) -> Cost:
    """The same step with its audit.

    Per-example gradients are written by the device that has the example, and read for inner
    products and the mean; on several devices each first exchanges them for its part of all
    examples' gradients, which writes them once more.
    """
    plain = plain_cost(work, devices)
    exchanged = devices > 1
    traffic = work.added_bytes * (1 + exchanged + 1) / devices
    seconds = _longer(work.added_operations / devices / FLOAT32, traffic)
    added = seconds + _exchange(work.added_bytes / devices, devices)
    return Cost(plain.seconds + added, plain.memory + work.kept / devices)


def _longer(seconds_at_peak: float, traffic: float) -> float:
    """Arithmetic and traffic of memory, which go on side by side."""
    return max(seconds_at_peak / ARITHMETIC_SHARE, traffic / BANDWIDTH / TRAFFIC_SHARE)


def _exchange(size: float, devices: int) -> float:
    """Seconds in which every device gets, or gives away, what is not its own of so many bytes."""
    return (1 - 1 / devices) * size / LINK / TRAFFIC_SHARE
