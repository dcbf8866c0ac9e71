"""What counts as comparable privacy, and as substantially better accuracy; fixed before any run."""

MARGIN = 0.005  # half of what guessing finds at 1 % false positives
SUBSTANTIAL = 0.02
