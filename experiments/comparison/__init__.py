"""The parts of the `compare` job: runs, frames, analysis, report."""
