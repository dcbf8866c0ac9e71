"""The parts of the `leakage` job: attributes, conditions, measurements, recovery, report."""
