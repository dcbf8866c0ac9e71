"""The example in the README runs as printed."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    nats = np.asarray(names["gujax"].disclosure_bound(names["state"][0].uniqueness))
    assert nats.shape == (32,)
    assert np.all((nats >= 0) & (nats <= np.log(2) + 1e-6))
    assert capsys.readouterr().out
