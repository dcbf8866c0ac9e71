"""The example of docs/language_models.md runs as printed."""

import re
from pathlib import Path

import numpy as np

from tests.models.reading import GOLDEN

PAGE = (Path(__file__).parents[2] / "docs" / "language_models.md").read_text()


def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    file = tmp_path / "texts.txt"
    file.write_text("the capital of france\nparis is\na b c d e f\n")
    names = {"folder": GOLDEN / "smollm2", "file": str(file)}
    exec(compile(example, "language_models.md", "exec"), names)
    assert names["gnq"].shape == (3,)
    assert np.isfinite(names["gnq"]).all()
    assert names["said"].suffix.tolist() == [2, 0, 4]
