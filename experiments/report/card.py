"""A report that is also written for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.framework.run_directory import to_json
from experiments.report.page import Place, Report


@dataclass(frozen=True)
class Card(Report):
    """A report that is also written as `card.json`."""

    content: Mapping[str, Any] = field(default_factory=dict)

    def write(self, directory: Place) -> None:
        """Writes figures, page and `card.json`."""
        super().write(directory)
        directory.file("card.json").write_text(to_json(self.content))
