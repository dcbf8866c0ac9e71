import pytest

from tests.data.prepared import prepared_folder


@pytest.fixture
def prepared_tfds(monkeypatch):
    """TFDS_DATA_DIR with the prepared data sets."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_folder("mnist10k")))


@pytest.fixture
def empty_tfds(monkeypatch, tmp_path):
    """An empty TFDS_DATA_DIR."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
