"""The parts of the `tune` job: trials, judging, record."""
