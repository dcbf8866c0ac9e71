"""Defenses of shared updates: by name, and made ready for a task.

    plain, noisy = build_shared_updates(task, ["none", "gaussian:0.1"])

A new one is one file beside this: its name is the family's, its `METHOD` says what the family is.
"""

from experiments.inversion.defenses._bottleneck import DRAWS
from experiments.inversion.defenses._method import Method, Setting
from experiments.inversion.defenses._registry import build_shared_updates, by_default, methods

__all__ = ["DRAWS", "Method", "Setting", "build_shared_updates", "by_default", "methods"]
