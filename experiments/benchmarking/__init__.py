"""Parts of the `benchmark` job."""
