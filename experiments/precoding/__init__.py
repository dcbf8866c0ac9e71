"""Parts of the job `precode`."""
