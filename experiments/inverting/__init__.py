"""Parts of the job `invert`."""
