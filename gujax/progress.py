"""How long work tells how far it is: a bar, a log or a page belongs to the caller."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the parts that are done and the number of all parts."""
