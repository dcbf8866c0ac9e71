"""One package per job, named as on the command line."""
