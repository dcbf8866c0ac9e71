"""The attack on the published model, predicted while it is being trained."""

from collections.abc import Callable
from typing import Any

from gujax.assessment import Assessment, assess
from gujax.training._averaging import released_params
from gujax.training._loss import Apply
from gujax.training._result import TrainResult
from gujax.validation import check_count


class ExposureWatch:
    """A callback of `train` that says what an attack would find if the model were published now.

    Every k-th epoch is assessed without a rerun: the deviation of the signal is under-estimated, so
    that the attack is over-estimated, and training stops early rather than late. While the gap
    between members and held-out examples is not significant, there is no prediction, and training
    goes on. What is published in the end deserves `gujax.assess` with a rerun.

    Args:
        apply: maps ``(params, x)`` to logits, as in `train`.
        members: what is trained on, (x, y).
        held_out: examples of the same kind that are not, (x, y).
        every: epochs from one assessment to the next.
        max_auc: pooled AUC above which training stops; None to watch only.
        show: what a line of text is given to after each assessment; None for nothing.
        sketch_dimension: numbers that each gradient is projected to; None as in `gujax.assess`.

    Attributes:
        history: epochs, from 0, and what was predicted after them.

    Raises:
        ValueError: ``every`` is below 1, or ``max_auc`` not between 0.5 and 1; when called, what
            `gujax.assess` raises.
    """

    def __init__(
        self,
        apply: Apply,
        members: tuple[Any, Any],
        held_out: tuple[Any, Any],
        *,
        every: int = 1,
        max_auc: float | None = None,
        show: Callable[[str], object] | None = print,
        sketch_dimension: int | None = 512,
    ):
        check_count("every", every)
        if max_auc is not None and not 0.5 <= max_auc <= 1:
            raise ValueError(f"max_auc={max_auc} must be between 0.5 (guessing) and 1")
        self.history: list[tuple[int, Assessment]] = []
        self._apply, self._members, self._held_out = apply, members, held_out
        self._every, self._max_auc, self._show = every, max_auc, show
        self._sketch_dimension = sketch_dimension

    def __call__(self, epoch: int, result: TrainResult) -> bool:
        """Assesses the model after an epoch; returns whether training should stop."""
        if (epoch + 1) % self._every:
            return False
        params = released_params(result.params, result.opt_state)
        found = assess(
            self._apply,
            params,
            self._members,
            self._held_out,
            sketch_dimension=self._sketch_dimension,
            num_resamples=50,
        )
        self.history.append((epoch, found))
        stops = self._max_auc is not None and found.auc.mean > self._max_auc  # NaN does not
        if self._show is not None:
            end = f"; above {self._max_auc:g}, stopping" if stops else ""
            self._show(f"epoch {epoch + 1}: {_words(found)}{end}")
        return stops


def _words(found: Assessment) -> str:
    if not found.calibrated:
        return f"no prediction, {found.fitted.refusal}"
    named = ("AUC", found.auc), ("TPR at 1 % FPR", found.tpr(0.01))
    numbers = (f"{name} {x.mean:.3f} ({x.low:.3f} to {x.high:.3f})" for name, x in named)
    return "predicted " + ", ".join(numbers)
