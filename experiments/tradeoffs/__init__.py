"""The parts of the jobs `censoring` and `control`: accuracy against what attacks find."""
