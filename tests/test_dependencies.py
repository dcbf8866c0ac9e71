"""The core needs little: importing it brings in its own dependencies and nothing else of ours."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gujax._extras import extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BESIDE = [
    *("flax", "sklearn", "dm_pix", "tensorflow_datasets", "array_record", "orbax", "polars"),
    *("matplotlib", "pydantic", "jinja2", "rich", "tyro", "PIL", "pandas", "ray", "torch"),
    *("safetensors", "tokenizers", "gguf"),
    *("experiments", "gujax.data", "gujax.models", "gujax.training", "gujax.attacks"),
    *("gujax.defenses", "gujax.leakage"),
]


def after(imports):
    """The modules that are loaded after a statement."""
    code = f"import sys; {imports}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    return set(ast.literal_eval(done.stdout))


@pytest.fixture(scope="module")
def loaded():
    return after("import gujax")


def test_importing_the_core_pulls_in_nothing_else(loaded):
    # What jax, optax, chex and jax_privacy import themselves is theirs to choose.
    theirs = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, chex, jax, jax_privacy, optax; print(sorted(sys.modules))",
        ],
        capture_output=True,
        text=True,
    ).stdout
    extras = {name for name in BESIDE if name in loaded} - set(ast.literal_eval(theirs))
    assert not extras


def test_the_wheel_holds_no_experiments():
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["gujax*"]


def test_the_core_has_few_dependencies():
    names = {line.partition(">=")[0] for line in PROJECT["project"]["dependencies"]}
    core = {"jax", "optax", "chex", "jaxtyping", "numpy", "jax-privacy", "dp-accounting"}
    assert names == core


def test_a_missing_package_names_its_extra():
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'gujax\[data\]'"), extra("data"):
        import no_such_package  # noqa: F401


def test_a_mistake_of_ours_is_not_a_missing_extra():
    with pytest.raises(ModuleNotFoundError, match=r"^No module named"), extra("data"):
        import gujax.no_such_module  # noqa: F401
