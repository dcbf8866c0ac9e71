"""Run directories, intervals, tables, figures and self-contained HTML pages."""

from gujax.reporting.intervals import Interval, format_interval, mean_interval
from gujax.reporting.progress import Steps, progress
from gujax.reporting.run_directory import RunDirectory, default_path, is_complete
from gujax.reporting.tables import Table, significant, to_terminal

__all__ = [
    "Interval",
    "RunDirectory",
    "Steps",
    "Table",
    "default_path",
    "format_interval",
    "is_complete",
    "mean_interval",
    "progress",
    "significant",
    "to_terminal",
]
