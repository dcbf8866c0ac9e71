"""What the search shows: the file that recipes are read from, and a table of the best."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from experiments.framework.results import Results
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.tune.measure import Plan
from experiments.jobs.tune.record import to_json
from experiments.report.formats import UNKNOWN
from experiments.report.tables import Table, to_terminal


@dataclass(frozen=True)
class Recipes:
    """The record of a search as a file, see `experiments.framework.job.Shown`."""

    record: Mapping[str, Any]
    file: str = "recipes.json"
    name: str = "recipes"

    def write(self, directory: RunDirectory) -> None:
        """Writes the record."""
        directory.file(self.file).write_text(to_json(self.record))

    def show(self, console: Console) -> None:
        """Prints the best configuration of each method."""
        console.print(to_terminal(self.table()))

    def table(self) -> Table:
        """The best configuration of each method."""
        rows = []
        for name, recipe in self.record["recipes"].items():
            decay = " cosine" if recipe["cosine_decay"] else ""
            practices = {
                "copies": recipe["augmentation_multiplicity"],
                "average": recipe["average_decay"],
                "standardized": recipe["standardize_weights"],
            }
            used = [f"{word} {value}" for word, value in practices.items() if value]
            rows.append(
                [
                    name,
                    f"{recipe['optimizer']} {recipe['learning_rate']:.4g}{decay}",
                    str(recipe["batch_size"]),
                    str(recipe["epochs"]),
                    str(recipe["l2_norm_clip"] or UNKNOWN),
                    ", ".join(used) or UNKNOWN,
                    str(self.record["tried"][name]),
                    f"{100 * self.record['accuracy'][name]:.1f}",
                ]
            )
        columns = ["method", "optimizer", "batch", "epochs", "clip", "practices", "tried"]
        return Table(
            "Best configurations",
            [*columns, "accuracy (%)"],
            rows,
            "Accuracy on the half of the training split that the models were not trained on.",
        )


def report(plan: Plan, record: Mapping[str, Any], results: Results) -> Recipes:
    """The record, to be written and shown."""
    return Recipes(record)
