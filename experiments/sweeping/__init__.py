"""Parts of the job `sweep`."""
