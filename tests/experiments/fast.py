"""Flags for runs of jobs in tests: compiling quickly matters more there than running quickly."""

FAST_COMPILE = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
