"""The examples of docs/language_models.md run as printed."""

import re
from pathlib import Path

import jax
import numpy as np

from tests.models.reading import GOLDEN

PAGE = (Path(__file__).parents[2] / "docs" / "language_models.md").read_text()


def test_the_examples_run(tmp_path):
    example, spread = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    file = tmp_path / "texts.txt"
    file.write_text("the capital of france\nparis is\na b c d e f\n")
    names = {"folder": GOLDEN / "smollm2", "file": str(file)}
    exec(compile(example, "language_models.md", "exec"), names)
    assert names["gnq"].shape == (3,)
    assert np.isfinite(names["gnq"]).all()
    assert names["said"].suffix.tolist() == [2, 0, 4]
    before = names["gnq"]
    exec(compile(spread, "language_models.md", "exec"), names)
    assert names["gnq"].shape == (3,)
    # Parameters moved in between; with an audit and without, the mean gradient is autograd's.
    assert not np.allclose(names["gnq"], before)
    arguments = names["trained"], names["texts"], names["shared"]
    params, texts, shared = jax.device_get(arguments)  # on one device, without gujax
    losses = jax.vmap(names["loss_fn"], (None, 0, None))
    expected = jax.grad(lambda p: losses(p, texts, shared).mean())(params)
    means = [names["mean_gradient"](*arguments, audit=audit)[0] for audit in (True, False)]
    for one, other, mean in zip(*map(jax.tree.leaves, (*means, expected)), strict=True):
        np.testing.assert_allclose(one, mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(other, mean, rtol=1e-4, atol=1e-6)
