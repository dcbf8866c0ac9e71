import itertools
from typing import NamedTuple

import numpy as np
import pytest

from experiments.membership.defenses import parse_defenses
from experiments.report import figures, style
from experiments.report.labels import label_points
from gujax.statistics import Interval


class Drawn(NamedTuple):
    label: str
    color: str


SGD = Drawn("SGD", "#222222")


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_one_another_nor_the_points(seed):
    rng = np.random.default_rng(seed)
    _, axes = style.new_figure()
    # Two clusters, as defenses form them: close together, and apart from the rest.
    x = np.concatenate([0.06 + 0.004 * rng.random(4), 0.012 + 0.002 * rng.random(3)])
    y = np.concatenate([0.95 + 0.01 * rng.random(4), 0.8 + 0.1 * rng.random(3)])
    axes.plot(x, y, "o")
    axes.set(xlim=(0, 0.08), ylim=(0.75, 1.0))
    texts = [f"defense {i}" for i in range(len(x))]
    label_points(axes, x, y, texts, ["k"] * len(x))
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == len(x)
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    inside = axes.get_window_extent()
    for box in boxes:
        assert not any(box.contains(*point) for point in axes.transData.transform(list(zip(x, y))))
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1


def test_figures_are_files_that_do_not_depend_on_when_they_are_drawn(tmp_path):
    interval = Interval(0.5, 0.4, 0.6)

    def draw(name):
        drawn = figures.privacy_utility(
            [SGD, Drawn("gate", "#0072B2")], [interval] * 2, [interval] * 2, 0.01, "LiRA"
        )
        return style.save(drawn, tmp_path / name)

    first, second = draw("first"), draw("second")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".png").stat().st_size > 1000


def test_unknown_intervals_are_drawn_as_points():
    unknown = Interval(0.5, float("nan"), float("nan"))
    figures.privacy_utility([SGD], [unknown], [unknown], 0.01, "LiRA")


def test_what_shares_a_color_differs_in_marker():
    colors = [defense.color for defense in parse_defenses(["sgd", "censor", "dp_sgd"])]
    markers = style.markers(colors)
    assert len(colors) == 5
    assert markers[1] != markers[2]
    assert markers[3] != markers[4]
    assert len({style.color(color) for color in colors}) == 3
    # Measures of uniqueness are known by name; what is a colour stays one.
    assert style.color("exact") == style.BLUE
    assert style.color("#123456") == "#123456"
    assert style.color("anything else") == "#7a828c"
