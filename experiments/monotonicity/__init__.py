"""The parts of the job `monotone`."""
