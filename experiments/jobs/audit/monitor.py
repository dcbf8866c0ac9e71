"""The live view of a run: loss, accuracy, who has disclosed how much."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float, Int
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

_BLOCKS = " ▁▂▃▄▅▆▇█"


class Monitor:
    """Shows the run after every epoch; made by `monitor`."""

    def __init__(
        self, console: Console, epochs: int, ids: Int[np.ndarray, " examples"], live: Live | None
    ):
        self._console, self._ids, self._live = console, ids, live
        self._bar = Progress(
            TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        )
        self._task = self._bar.add_task("", total=epochs)

    def show(
        self,
        epoch: int,
        loss: float,
        train_accuracy: float,
        test_accuracy: float,
        nats: Float[np.ndarray, " examples"],
    ) -> None:
        """Draws an epoch, from 0: its loss and accuracies, and the nats of every example so far."""
        numbers = (
            f"loss {loss:.4f}   accuracy: train {100 * train_accuracy:.1f} %, "
            f"test {100 * test_accuracy:.1f} %"
        )
        most = np.argsort(-nats, kind="stable")[:5]
        exposed = ", ".join(f"{self._ids[i]} ({nats[i]:.2f})" for i in most)
        spread = (
            f"nats: median {np.median(nats):.3g}, 99 % {np.quantile(nats, 0.99):.3g}, "
            f"largest {nats.max():.3g}"
        )
        if self._live is None:
            line = f"epoch {epoch + 1}: {numbers}   {spread}"
            self._console.print(line, highlight=False, soft_wrap=True)
            return
        self._bar.update(self._task, completed=epoch + 1)
        lines = (numbers, spread, f"0 {sparkline(nats)} {nats.max():.3g}", f"ids: {exposed}")
        self._live.update(Group(self._bar, *(Text(line) for line in lines)))


def sparkline(values: Float[np.ndarray, " n"], bins: int = 40) -> str:
    """A histogram from 0 to the largest value in one line; any count is visible."""
    counts, _ = np.histogram(values, bins=bins, range=(0, max(float(values.max()), 1e-12)))
    heights = np.ceil(counts / max(counts.max(), 1) * (len(_BLOCKS) - 1)).astype(int)
    return "".join(_BLOCKS[height] for height in heights)


@contextmanager
def monitor(console: Console, epochs: int, ids: Int[np.ndarray, " examples"]) -> Iterator[Monitor]:
    """A live view in a terminal; one line per epoch elsewhere."""
    if not console.is_terminal:
        yield Monitor(console, epochs, ids, None)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield Monitor(console, epochs, ids, live)
