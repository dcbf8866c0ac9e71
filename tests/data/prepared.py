"""Where the prepared data sets lie."""

import os
from pathlib import Path

import pytest


def prepared_folder(name: str) -> Path:
    """The TFDS data directory with the data set ``name``; skips the test if there is none."""
    beside_checkout = Path(__file__).parents[3] / "shared" / "tfds"
    folder = Path(os.environ.get("TFDS_DATA_DIR", beside_checkout))
    if not (folder / name).is_dir():
        pytest.skip(f"{name} is not prepared in {folder}: set TFDS_DATA_DIR")
    return folder
