"""Labels beside points that do not cover one another."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

# Offsets in points, nearest first; right of the point reads best.
_ANGLES = [(1, 0), (1, 1), (1, -1), (0, 1), (0, -1), (-1, 1), (-1, -1), (-1, 0)]
_OFFSETS = [(step * dx, step * dy) for step in (8, 16, 26, 38) for dx, dy in _ANGLES]


def label_points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    texts: Sequence[str],
    colors: Sequence[str],
    obstacles: Sequence[Bbox] = (),
) -> None:
    """Writes a label beside each point where it covers no other label and no point.

    Each label in turn takes the nearest free place; when none is free, the place with the least
    overlap. Call it last, when the limits of the axes are final. Obstacles are further boxes to
    stay clear of, in pixels, such as error bars; x and y are in data units.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout fixes where data units fall
    pixels = axes.transData.transform(list(zip(x, y)))
    taken = [Bbox.from_bounds(px - 6, py - 6, 12, 12) for px, py in pixels]
    taken += list(obstacles)
    inside = axes.get_window_extent()
    for index, text in enumerate(texts):
        annotation = axes.annotate(
            text,
            (x[index], y[index]),
            _OFFSETS[0],
            textcoords="offset points",
            color=colors[index],
            fontsize=9.5,
            zorder=5,
        )
        # A label must not push the layout about, or the places chosen before would move.
        annotation.set_in_layout(False)
        costs = []
        for offset in _OFFSETS:
            _place(annotation, offset)
            box = annotation.get_window_extent()
            costs.append(_cost(box, taken, inside))
        best = _OFFSETS[costs.index(min(costs))]
        _place(annotation, best)
        if max(map(abs, best)) > 8:
            axes.annotate(
                "",
                (x[index], y[index]),
                best,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": colors[index], "lw": 0.6, "shrinkB": 4},
            ).set_in_layout(False)
        taken.append(annotation.get_window_extent())


def _place(annotation, offset: tuple[float, float]) -> None:
    dx, dy = offset
    annotation.set_position(offset)
    annotation.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
    annotation.set_verticalalignment("bottom" if dy > 0 else "top" if dy < 0 else "center")


def _cost(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    overlap = sum(_area(Bbox.intersection(box, other)) for other in taken)
    outside = _area(box) - _area(Bbox.intersection(box, inside))
    return overlap + outside


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height
