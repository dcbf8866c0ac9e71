"""What is known of a model before it is published."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gujax._extras import extra
from gujax.assessment._calibrating import Calibrated
from gujax.assessment._card import render
from gujax.assessment._policy import Decision, decide
from gujax.prediction import PredictedAttack, predict_attack
from gujax.statistics import Interval


@dataclass(frozen=True, eq=False)
class Assessment:
    """The predicted attack on a model by someone who sees nothing but the model.

    Examples are the members, then the held-out ones. Where `calibrated` is false, ridge, shifts and
    AUCs are NaN, and intervals hold an upper limit and nothing else.

    Attributes:
        label: classes, [N].
        members: which examples are members, [N].
        signal: φ, log-odds of the true class, [N].
        right: whether the model's first guess is right, [N].
        fitted: ridge, shifts and deviation with their resampling.
        num_reruns: by which gap and deviation were measured.
        sketch_dimension: of the sketches; None where the Gram matrix is exact.
        warnings: what a reader should know, sentences.
        unsafe: why the prediction should not be relied on, sentences; a policy then fails.
    """

    label: Int[np.ndarray, " pool"]
    members: Bool[np.ndarray, " pool"]
    signal: Float[np.ndarray, " pool"]
    right: Bool[np.ndarray, " pool"]
    fitted: Calibrated
    num_reruns: int
    sketch_dimension: int | None
    warnings: tuple[str, ...]
    unsafe: tuple[str, ...]

    @property
    def calibrated(self) -> bool:
        """Whether the gap determined the ridge."""
        return self.fitted.refusal is None

    @property
    def ridge(self) -> float:
        """λ, from the gap; NaN without calibration."""
        return self.fitted.exact_ridge if self.calibrated else float("nan")

    @property
    def shift(self) -> Float[np.ndarray, " pool"]:
        """d: how much training on an example adds to its φ, in nats, [members, held out]."""
        return self.fitted.shift if self.calibrated else np.full(len(self.label), np.nan)

    @property
    def deviation(self) -> float:
        """s: deviation of φ over retrainings, in nats."""
        return self.fitted.deviation if self.calibrated else float("nan")

    @property
    def gap(self) -> Interval:
        """The observed gap of φ, in nats, with its 95 % interval."""
        gap = self.fitted.gap
        return Interval(gap.mean, 2 * gap.mean - gap.high, gap.high)

    @cached_property
    def attack(self) -> PredictedAttack:
        """The predicted attack: ROC, and AUC and TPR of every example.

        Raises:
            ValueError: there is no prediction.
        """
        if not self.calibrated:
            raise ValueError(f"there is no prediction: {self.fitted.refusal}")
        return predict_attack(self.shift, self.deviation)

    @cached_property
    def auc(self) -> Interval:
        """AUC over all examples, with its 95 % bootstrap interval over examples."""
        return self._interval(lambda attack: attack.auc, 0.5)

    def tpr(self, fpr: float) -> Interval:
        """TPR at a false positive rate over all examples, with its 95 % bootstrap interval."""
        return self._interval(lambda attack: float(attack.tpr(fpr)), fpr)

    def _interval(self, measure: Callable[[PredictedAttack], float], least: float) -> Interval:
        if not self.calibrated:
            return Interval(float("nan"), least, self.fitted.limit(measure))
        low, high = np.quantile([measure(a) for a in self.fitted.resampled], [0.025, 0.975])
        return Interval(measure(self.attack), float(low), float(high))

    @cached_property
    def table(self) -> dict[str, np.ndarray]:
        """One row per example, by columns: what it is, φ, shift, μ, AUC and TPR at 1 % FPR."""
        count = int(self.members.sum())
        positions = np.arange(len(self.members))
        unknown = np.full(len(self.label), np.nan)
        attack = self.attack if self.calibrated else None
        return {
            "member": self.members,
            "position": np.where(self.members, positions, positions - count),
            "label": self.label,
            "signal": self.signal,
            "shift": self.shift,
            "mu": unknown if attack is None else attack.mu,
            "auc": unknown if attack is None else attack.example_auc,
            "tpr_1pct": unknown if attack is None else attack.example_tpr(0.01),
        }

    def check(
        self,
        *,
        max_auc: float | None = None,
        max_tpr_1pct: float | None = None,
        max_tpr_01pct: float | None = None,
        max_example_auc: float | None = None,
    ) -> Decision:
        """Whether the model keeps limits; it does if the upper ends of the intervals do.

        Where there is no calibration, or the data seem unfit for it, the answer is no.

        Args:
            max_auc: largest pooled AUC.
            max_tpr_1pct: largest pooled TPR at 1 % FPR.
            max_tpr_01pct: the same at 0.1 %.
            max_example_auc: largest AUC against any single member.

        Raises:
            ValueError: no limit is given.
        """
        asked = {
            "max_auc": (max_auc, lambda: self.auc),
            "max_tpr_1pct": (max_tpr_1pct, lambda: self.tpr(0.01)),
            "max_tpr_01pct": (max_tpr_01pct, lambda: self.tpr(0.001)),
            "max_example_auc": (max_example_auc, lambda: self.most_exposed_auc),
        }
        found = {
            name: (limit, value()) for name, (limit, value) in asked.items() if limit is not None
        }
        return decide(found, self.unsafe)

    @cached_property
    def most_exposed_auc(self) -> Interval:
        """AUC against the most exposed member."""
        return self._interval(lambda attack: float(attack.example_auc[self.members].max()), 0.5)

    def summary(self) -> dict[str, Any]:
        """What `card.json` holds."""
        return {
            "calibrated": self.calibrated,
            "refusal": self.fitted.refusal,
            "ridge": self.ridge,
            "deviation": self.deviation,
            "reruns": self.num_reruns,
            "deviation_from": "rerun" if self.num_reruns else "formula (an under-estimate)",
            "gap": self.gap._asdict(),
            "auc": self.auc._asdict(),
            "tpr_1pct": self.tpr(0.01)._asdict(),
            "tpr_01pct": self.tpr(0.001)._asdict(),
            "most_exposed_auc": self.most_exposed_auc._asdict(),
            "members": int(self.members.sum()),
            "held_out": int((~self.members).sum()),
            "sketch_dimension": self.sketch_dimension,
            "warnings": list(self.warnings),
            "unsafe": list(self.unsafe),
        }

    def save(self, directory: str | Path, decision: Decision | None = None) -> None:
        """Writes card.html, card.json and per_example.parquet.

        Args:
            directory: made if it does not exist.
            decision: of `check`, shown on the card.

        Raises:
            ModuleNotFoundError: a package of the extra ``cards`` is missing; nothing is written.
        """
        with extra("cards"):
            import polars as pl
        content = self.summary()
        if decision is not None:
            content["decision"] = {"allowed": decision.allowed, "reasons": list(decision.reasons)}
        page = render(self, decision)
        text = json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n"
        rows = pl.DataFrame(self.table)
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / "card.html", lambda path: path.write_text(page, "utf-8"))
        _write(directory / "card.json", lambda path: path.write_text(text, "utf-8"))
        _write(directory / "per_example.parquet", rows.write_parquet)


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Under its name only when it is complete."""
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    os.replace(partial, path)


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
