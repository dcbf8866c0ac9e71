"""The parts of the `onion` job: rounds of removal, analysis, claims, report."""
