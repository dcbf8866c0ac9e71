"""The parts of the `who_pays` job: groups, analysis, claims, report."""
