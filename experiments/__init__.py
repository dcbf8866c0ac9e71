"""Experiments: one module per job, run by `python -m experiments <job>`."""
