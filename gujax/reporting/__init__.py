"""Run directories, intervals, tables, figures and self-contained HTML pages."""

from gujax.reporting.intervals import Interval, format_interval, mean_interval
from gujax.reporting.progress import Steps, progress
from gujax.reporting.run_directory import (
    RunDirectory,
    config_hash,
    default_path,
    is_complete,
    to_json,
)
from gujax.reporting.tables import Table, significant, to_markdown, to_terminal

__all__ = [
    "Interval",
    "RunDirectory",
    "Steps",
    "Table",
    "config_hash",
    "default_path",
    "format_interval",
    "is_complete",
    "mean_interval",
    "progress",
    "significant",
    "to_json",
    "to_markdown",
    "to_terminal",
]
