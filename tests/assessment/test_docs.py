"""The examples of docs/assess.md run as printed, on models nobody here made."""

import re
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

PAGE = (Path(__file__).parents[2] / "docs" / "assess.md").read_text()
EXAMPLES = dict(re.findall(r"## (.*?)\n\n```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    names = {"x": x[:300], "y": y[:300], "x_out": x[300:600], "y_out": y[300:600]}
    lines = [line for line in EXAMPLES[name].splitlines() if line.strip()]
    assert len(lines) <= 15
    exec(compile(EXAMPLES[name], name, "exec"), names)
    found = names["found"]
    assert len(found.shift) == 600
    if found.calibrated:
        assert 0.5 <= found.auc.mean <= 1
    else:
        assert "calibrat" in found.unsafe[-1]
