"""Figures of the reports: numbers in, matplotlib figure out. Nothing here computes a result."""

from experiments.report.figures.agreement import agreement
from experiments.report.figures.auditing import histogram, training_curves
from experiments.report.figures.bars import BarPanel, Bars, bar_panels
from experiments.report.figures.bounds import epsilon_bounds
from experiments.report.figures.comparison import (
    attack_by_uniqueness,
    class_accuracy,
    predicted_against_measured,
    privacy_utility,
    roc_curves,
)
from experiments.report.figures.costs import Cost, GrowthPanel, cost_growth, method_costs
from experiments.report.figures.forest import ForestPanel, ForestRow, forest
from experiments.report.figures.fronts import FrontPanel, fronts
from experiments.report.figures.layers import (
    LayerPanel,
    ScatterPanel,
    SubspacePanel,
    correlation_intervals,
    layer_profiles,
    layer_scatter,
    subspace_distances,
)
from experiments.report.figures.lines import LinePanel, line_panels
from experiments.report.figures.predicted import PredictedPanel, predicted_attacks
from experiments.report.figures.reconstructions import (
    PictureRow,
    quality_by_uniqueness,
    reconstruction_grid,
)
from experiments.report.figures.series import Named, Series
from experiments.report.figures.sweeps import facets
from experiments.report.figures.tradeoffs import FrontierLine, TradeoffPanel, frontiers, tradeoffs
