"""Imports point downward, in no circle, through public faces; the core stands on its own."""

import ast
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A package may import itself and what stands below it; those of one row do not know each other.
LAYERS = (
    (
        "gujax._extras",
        "gujax.hashing",
        "gujax.progress",
        "gujax.validation",
        "gujax.statistics",
        "gujax.trees",
        "gujax.precision",
    ),
    ("gujax.sharding",),
    ("gujax.gradients",),
    ("gujax.uniqueness",),
    ("gujax.prediction",),
    ("gujax.assessment",),
    ("gujax.transforms",),
    ("gujax.data", "gujax.models"),
    ("gujax.training",),
    ("gujax.leakage",),
    ("gujax.attacks",),
    ("gujax.defenses",),
    ("gujax",),  # re-exports the core
    ("experiments.framework",),
    ("experiments.report",),
    ("experiments.tasks",),
    ("experiments.membership", "experiments.inversion"),
    ("experiments.jobs",),
    ("experiments",),
)
CORE = (
    "gujax.hashing",
    "gujax.validation",
    "gujax.trees",
    "gujax.sharding",
    "gujax.precision",
    "gujax.gradients",
    "gujax.uniqueness",
    "gujax.prediction",
    "gujax.transforms",
)
CORE_MAY_IMPORT = {
    *("chex", "dp_accounting", "jax", "jax_privacy", "jaxtyping", "numpy", "optax"),
    "scipy",  # which JAX requires and imports
}


@cache
def modules():
    """Every module by its dotted name."""
    paths = sorted([*(ROOT / "gujax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
    return {dotted(path): path for path in paths}


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(name):
    """The modules and names that a module imports, also those for types and inside functions."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            # `from gujax import transforms` imports a package, not a name of gujax itself.
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module)
    return frozenset(found)


def layer(name):
    """Height and name of the package that a module belongs to; None if it is not ours."""
    for height, packages in enumerate(LAYERS):
        for package in packages:
            if name == package or name.startswith(f"{package}."):
                return height, package
    return None


@pytest.mark.parametrize("name", modules())
def test_imports_point_downward(name):
    height, package = layer(name)
    for other in imported(name):
        found = layer(other)
        if found is not None and found[1] != package:
            assert found[0] < height, f"{name} imports {other} from above or beside"


def test_no_circle():
    graph = {name: {o for o in imported(name) if o in modules()} - {name} for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' ← '.join(error.args[1])}")


@pytest.mark.parametrize("name", [n for n in modules() if n.startswith("experiments.jobs.")])
def test_no_job_imports_another(name):
    own = name.split(".")[2]
    others = {o.split(".")[2] for o in imported(name) if o.startswith("experiments.jobs.")}
    assert others <= {own}


@pytest.mark.parametrize("name", modules())
def test_other_packages_are_reached_by_their_public_faces(name):
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    for other in imported(name):
        *parents, last = other.split(".")
        if other in modules() and last.startswith("_") and last != "_extras":
            home = ".".join(parents)
            inside = package == home or package.startswith(f"{home}.")
            outside_in = home.startswith(f"{package}.") and package != "gujax"
            assert inside or outside_in, f"{name} imports the private module {other}"


# Modules that are a public face by themselves.
FACES = {
    *(name for row in LAYERS[:2] for name in row if name != "gujax._extras"),
    "gujax.attacks.attributes",  # needs scikit-learn, which the other attacks do without
    "gujax.attacks.inversion.search",  # the compiled loop, for those who time or compose it
}


def test_every_other_module_of_gujax_is_private():
    plain = {
        name
        for name, path in modules().items()
        if name.startswith("gujax") and path.name != "__init__.py" and path.name[0] != "_"
    }
    assert plain == FACES


@pytest.mark.parametrize("name", [n for n in modules() if n.startswith(CORE)])
def test_the_core_needs_little(name):
    allowed = CORE_MAY_IMPORT | set(sys.stdlib_module_names) | {"gujax"}
    assert {other.split(".")[0] for other in imported(name)} <= allowed
