"""A language model whose parameters and batch are split over devices: the numbers of one device."""

import numpy as np

from tests.devices import finish, start
from tests.models.fsdp_worker import BATCH, RIDGE


def gnq(K):
    """gᵢᵀ (Σ_{j≠i} gⱼ gⱼᵀ + λ)⁻¹ gᵢ from inner products, one example at a time."""
    ridge = RIDGE * np.trace(K) / len(K)
    values = []
    for i, k in enumerate(K):
        others = np.arange(len(K)) != i
        rest = K[np.ix_(others, others)] + ridge * np.eye(len(K) - 1)
        values.append((k[i] - k[others] @ np.linalg.solve(rest, k[others])) / ridge)
    return np.array(values)


def test_sharded_like_fsdp(tmp_path):
    output = tmp_path / "step.npz"
    finish(start("tests.models.fsdp_worker", output, 8))
    results = np.load(output)
    expected = {n.split("|")[1]: results[n] for n in results.files if n.startswith("alone|")}
    gram = next(name for name in expected if "gram" in name)
    expected[gram.replace("gram", "uniqueness")] = gnq(expected[gram])
    assert len(expected) == 2 + 2 * (2 + 2 * 9)  # of embedding, last norm and two blocks
    for mesh in ("automatic", "explicit"):
        # Every parameter, gradient and update, norms included, has its eighth on each device.
        np.testing.assert_array_equal(results[f"shares|{mesh}"], 1 / BATCH)
        for name, value in expected.items():
            np.testing.assert_allclose(
                results[f"{mesh}|{name}"],
                value,
                rtol=0,
                atol=1e-10 * np.max(np.abs(value)),
                err_msg=f"{mesh}: {name}",
            )
