"""Things found by folder: a package whose every public file gives one of them."""

import importlib
import pkgutil
from typing import Any


def found_in(package: str, name: str) -> dict[str, Any]:
    """What the files of a package give, by the name of the file.

    Args:
        package: Its dotted name; files whose names begin with an underscore are its own matter.
        name: What each file must define, such as "METHOD".
    """
    folder = importlib.import_module(package).__path__
    files = [file.name for file in pkgutil.iter_modules(folder) if not file.name.startswith("_")]
    return {file: getattr(importlib.import_module(f"{package}.{file}"), name) for file in files}
