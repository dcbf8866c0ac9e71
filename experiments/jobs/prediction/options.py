"""Options of the job `prediction`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Models, RunOptions, Several, options
from experiments.jobs.prediction.settings import DEFAULT, SETTINGS, Setting

_REFERENCES = 4  # that a rival has at most
FEWEST_MODELS = 16  # shadow models below which LiRA itself says too little


@options
class Options(RunOptions):
    """The attack predicted from one model and one rerun, beside LiRA and what else predicts it.

    For every setting, models are trained on random halves of a pool and attacked with LiRA and
    RMIA. For some of them the attack is predicted by `gujax.assess`, as a publisher would, from
    that model and its reruns.

    Attributes:
        settings: Names of settings, "default" for eight that take minutes together, "all".
        models: Models per setting; each is attacked with the others as its shadow models.
        targets: Models per setting whose attack is predicted, each with reruns of its own.
        reruns: Further models that each prediction rests on.
        train_size: Keep at most so many examples of each pool; default: those of the setting.
        epochs: Passes over the data; default: those of the setting.
        resamples: Resamples of the intervals of each prediction.
    """

    settings: Several[str] = ("default",)
    models: Models = 32
    targets: Count = 3
    reruns: Count = 1
    train_size: Count | None = None
    epochs: Count | None = None
    resamples: Count = 100

    def __post_init__(self) -> None:
        unknown = [name for name in self.settings if name not in (*SETTINGS, "default", "all")]
        check_option(
            not unknown,
            f"--settings {' '.join(unknown)} must be default, all or among {', '.join(SETTINGS)}",
        )
        check_option(
            self.models >= FEWEST_MODELS and self.models % 4 == 0,
            f"--models {self.models} must be a multiple of 4 and at least {FEWEST_MODELS}",
        )
        check_option(
            (1 + self.reruns) * self.targets <= self.models // 2,
            f"--targets {self.targets} with --reruns {self.reruns} are "
            f"{(1 + self.reruns) * self.targets} models; they must be at most half of --models "
            f"{self.models}, for no two are complements of each other",
        )
        check_option(
            2 * (1 + self.reruns) + _REFERENCES <= self.models,
            f"--reruns {self.reruns} with --models {self.models} leave less than {_REFERENCES} "
            "reference models for the rivals",
        )

    @property
    def chosen(self) -> list[Setting]:
        """The settings that the names stand for, each once."""
        groups = {"default": DEFAULT, "all": tuple(SETTINGS)}
        names = [one for name in self.settings for one in groups.get(name, (name,))]
        return [SETTINGS[name] for name in dict.fromkeys(names)]
