"""What reports show of the attacks: tables by defense and attack, bars and pictures."""

from collections.abc import Sequence

from experiments.framework.results import Results
from experiments.inversion import attacks
from experiments.inversion.analysis import with_attack
from experiments.inversion.runs import TRUTH, Attacked
from experiments.report import figures
from experiments.report.formats import Format, number, percent
from experiments.report.page import Picture
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from gujax.statistics import Interval

SHOWN = 8  # pictures per attack
DEFENSE = KeyColumn("defense", "defense")
FORMATS: dict[str, tuple[str, Format]] = {
    "success": ("Examples reconstructed (percent)", percent()),
    "ssim": ("SSIM of the reconstructions", number(2)),
    "psnr": ("PSNR of the reconstructions (dB)", number(1)),
    "feature_error": ("Relative error of the reconstructions", number(2)),
    "label_recovered": ("Labels recovered (percent)", percent()),
    "spearman": (
        "Rank correlation (Spearman) of gradient uniqueness and quality of the reconstruction",
        number(2),
    ),
}
_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def by_attack(results: Results, measure: str, rows: Sequence[KeyColumn] = (DEFENSE,)) -> Table:
    """One measure of `FORMATS`, every attack that gives it side by side."""
    title, show = FORMATS[measure]
    made = {e.keys["attack"] for e in results.entries if e.measure == measure}
    columns = [
        Column(method.label, measure, show, {"attack": name})
        for name, method in attacks.methods().items()
        if name in made
    ]
    return tabulate(title, results, [*rows, *columns])


def success_bars(results: Results, defenses: Sequence[str]) -> list[figures.Bars]:
    """Success of each attack over these defenses."""
    bars = []
    for name in attacks.compared():
        found = [results.find("success", defense=label, attack=name) for label in defenses]
        if any(found):
            shares = [_UNKNOWN if one is None else one.share for one in found]
            method = attacks.methods()[name]
            bars.append(figures.Bars(method.label, str(method.color), shares))
    return bars


def pictures(
    results: Results, labels: Sequence[str], attacked: Attacked, is_image: bool
) -> dict[str, Picture]:
    """Success of each attack on these defenses; of images, the reconstructions."""
    drawn = {}
    if bars := success_bars(results, labels):
        panel = figures.BarPanel("", "examples reconstructed", bars, in_percent=True)
        drawn["success"] = Picture(
            figures.bar_panels([[panel]], labels), "Success of each attack on every kind of update"
        )
    if is_image:
        drawn["pictures"] = Picture(
            figures.reconstruction_grid(picture_rows(attacked)),
            "Examples, and what each attack made of the updates that they are in",
        )
    return drawn


def picture_rows(attacked: Attacked) -> list[figures.PictureRow]:
    """The first pictures of the first seed: the truth, then each defense and attack."""
    shown = [figures.PictureRow("truth", attacked.pictures[TRUTH][:SHOWN])]
    first = attacked.frame.filter(attacked.frame["seed"] == 0)
    for (label, name), images in attacked.pictures.items():
        if (label, name) != TRUTH:
            frame = with_attack(first, label, name)[:SHOWN]
            measured = frame["ssim"].to_numpy(), frame["success"].to_numpy()
            title = f"{label}\n{attacks.label(name)}"
            shown.append(figures.PictureRow(title, images[:SHOWN], *measured))
    return shown
