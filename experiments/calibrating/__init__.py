"""The parts of the job `calibration`."""
