"""What a job is: options, run directory, progress, results, claims. Knows no job and no model."""
