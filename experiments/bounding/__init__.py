"""The parts of the job `auditors`."""
