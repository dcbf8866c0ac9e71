"""Parts of the `audit` job."""
