"""Imports point downward only, and the core stands on its own."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A package may import itself and what stands below it.
LAYERS = (
    ("gujax.validation", "gujax.sharding", "gujax.precision"),
    ("gujax.gradients",),
    ("gujax.uniqueness",),
    ("gujax.transforms",),
    ("gujax.data", "gujax.models"),
    ("gujax.training",),
    ("gujax.attacks", "gujax.defenses", "gujax.leakage"),
    ("gujax.reporting",),
    ("experiments",),
)
CORE = (
    "gujax.validation",
    "gujax.sharding",
    "gujax.precision",
    "gujax.gradients",
    "gujax.uniqueness",
    "gujax.transforms",
)
CORE_MAY_IMPORT = {"chex", "dp_accounting", "jax", "jax_privacy", "jaxtyping", "numpy", "optax"}


def modules():
    return sorted([*(ROOT / "gujax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from gujax import transforms` imports a package, not a name of gujax itself.
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from names if node.module == "gujax" else [node.module]


def layer(name):
    for height, packages in enumerate(LAYERS):
        if any(name == package or name.startswith(f"{package}.") for package in packages):
            return height
    return None


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_point_downward(path):
    height = layer(dotted(path))
    if height is None:  # gujax/__init__.py re-exports the core
        assert dotted(path) == "gujax"
        return
    for name in imported(path):
        other = layer(name)
        assert other is None or other <= height, f"{dotted(path)} imports {name} from above"


@pytest.mark.parametrize("path", [p for p in modules() if dotted(p).startswith(CORE)], ids=dotted)
def test_the_core_needs_little(path):
    allowed = CORE_MAY_IMPORT | set(sys.stdlib_module_names) | {"gujax"}
    assert {name.split(".")[0] for name in imported(path)} <= allowed
