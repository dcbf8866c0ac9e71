"""Figures of the reports: numbers in, matplotlib figure out. Nothing here computes a result."""

from experiments.report.figures.agreement import Agreement, agreement
from experiments.report.figures.auditing import histogram, training_curves
from experiments.report.figures.bars import BarPanel, Bars, bar_panels
from experiments.report.figures.bounds import BoundSeries, epsilon_bounds
from experiments.report.figures.comparison import (
    attack_by_uniqueness,
    class_accuracy,
    predicted_against_measured,
    privacy_utility,
    roc_curves,
)
from experiments.report.figures.costs import Cost, GrowthPanel, cost_growth, method_costs
from experiments.report.figures.layers import (
    LayerPanel,
    PointGroup,
    ScatterPanel,
    SubspacePanel,
    correlation_intervals,
    layer_profiles,
    layer_scatter,
    subspace_distances,
)
from experiments.report.figures.onion import OnionPanel, onion_lines
from experiments.report.figures.predicted import (
    PredictedPanel,
    PredictedPoint,
    predicted_attacks,
)
from experiments.report.figures.reconstructions import (
    PictureRow,
    QualityPanel,
    quality_by_uniqueness,
    reconstruction_grid,
)
from experiments.report.figures.series import Named, Series
from experiments.report.figures.strata import StrataPanel, curves_by_stratum
from experiments.report.figures.sweeps import Line, facets
from experiments.report.figures.tradeoffs import FrontierLine, TradeoffPanel, frontiers, tradeoffs

__all__ = [
    "Agreement",
    "BarPanel",
    "Bars",
    "BoundSeries",
    "Cost",
    "FrontierLine",
    "GrowthPanel",
    "LayerPanel",
    "Line",
    "Named",
    "OnionPanel",
    "PictureRow",
    "PointGroup",
    "PredictedPanel",
    "PredictedPoint",
    "QualityPanel",
    "ScatterPanel",
    "Series",
    "StrataPanel",
    "SubspacePanel",
    "TradeoffPanel",
    "agreement",
    "attack_by_uniqueness",
    "bar_panels",
    "class_accuracy",
    "correlation_intervals",
    "cost_growth",
    "curves_by_stratum",
    "epsilon_bounds",
    "facets",
    "frontiers",
    "histogram",
    "layer_profiles",
    "layer_scatter",
    "method_costs",
    "onion_lines",
    "predicted_against_measured",
    "predicted_attacks",
    "privacy_utility",
    "quality_by_uniqueness",
    "reconstruction_grid",
    "roc_curves",
    "subspace_distances",
    "tradeoffs",
    "training_curves",
]
