"""Options of the job `compare`."""

from dataclasses import replace
from typing import Any

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Distinct, Positive, Several, options
from experiments.membership.defenses import Defense, parse_defense, parse_defenses
from experiments.membership.options import DefenseOptions, MembershipOptions
from experiments.tasks.options import CanaryOptions

ALL = ("digits", "mnist10k", "bangkok_locations", "adult", "spoken_digits", "cifar10_jpeg")


@options
class Options(DefenseOptions, CanaryOptions, MembershipOptions):
    """Compare defenses on one data set, or on several: --dataset digits,adult, or all.

    Every defense trains the same random halves of the data from the same initial parameters; LiRA
    in three forms, RMIA and a loss threshold then attack every model, the others serving as its
    shadow models.

    Attributes:
        defenses: What to compare, such as gate:0.9; a name without a strength stands for the usual
            ones. "sgd" comes first: censoring takes from its runs what to remove.
        fronts: Further settings, of which fronts are drawn beside the defenses: attack success over
            accuracy for each family. A name without epochs, as dp_noise:0.1@5 has, is run at each
            of `front_epochs`.
        front_epochs: Passes over the data of settings on fronts.
        other_ridges: Relative ridges under which plain SGD is measured too, for comparison.
    """

    defenses: Several[str] = ("sgd", "gate", "clip", "censor", "dp_sgd")
    fronts: tuple[str, ...] = (
        *("early_stop:1", "early_stop:2", "early_stop:5", "early_stop:10"),
        *("dp_noise:0.1", "dp_noise:0.5"),
        *("gate:0.7", "gate_norm:0.7", "gate_chance:0.7"),
        "out_of_fold:0.1",
    )
    front_epochs: Several[Count] = (2, 5)
    seeds: Count = 3
    other_ridges: Distinct[Positive] = (0.01, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(
            self.chosen[0].family == "sgd",
            "--defenses must start with sgd: it is what the others are compared with",
        )
        _ = self.on_fronts

    @property
    def of_each_dataset(self) -> list["Options"]:
        """These options for each of the data sets that they name."""
        names = ALL if self.dataset == "all" else self.dataset.split(",")
        if len(names) == 1:
            return [self]
        return [replace(self, dataset=name, **self._own(name)) for name in names]

    def _own(self, name: str) -> dict[str, Any]:
        """What a data set of photographs takes beside its name: convolutions, fewer examples."""
        if not name.startswith("cifar"):
            return {}
        widths = (8, 16)  # of the search that comes with the package
        return {"model": "convnet", "channels": widths, "train_size": self.train_size or 4000}

    @property
    def on_fronts(self) -> list[Defense]:
        """The settings on fronts that are not among the defenses."""
        names = []
        for name in self.fronts:
            counted = "@" in name or parse_defense(name).passes is not None
            names += [name] if counted else [f"{name}@{epochs}" for epochs in self.front_epochs]
        chosen = self.chosen
        return [one for one in parse_defenses(names, self.delta) if one not in chosen]
