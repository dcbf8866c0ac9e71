"""Options of the job `sweep`."""

from pathlib import Path
from typing import Annotated

import tyro

from experiments.framework.errors import check_option
from experiments.framework.options import Count, NonNegative, RunOptions, flag, options


@options
class Options(RunOptions):
    """Run a job over many configurations.

    Trials are all combinations of --set, --configs, --sample, --grid and seeds. Each runs in a
    process of its own and has a directory named by a hash of its full configuration, so that
    finished trials are recognized. The exit code is 1 if a trial failed; the others stand.

    python -m experiments sweep audit --grid defense=sgd,gate "hidden=64,256 128" --seeds 3

    Attributes:
        job: Name of the job; may be left out with --resume.
        grid: Values to combine, option=a,b,c each. A tuple's elements are separated by spaces, as
            on the job's command line: "hidden=64,256 128" is 64, then 256 128.
        sample: What to draw at random: option=low:high, option=log:low:high or option=a,b,c each.
        num_samples: Number of draws.
        sample_seed: Seed of the draws.
        configs: JSON file with a list of objects, each with the options of one configuration.
        set: Options that are the same for all, option=value each.
        seeds: Number of seeds of every configuration: trials with seed 0, 1, … of a job that has
            the option seed; of others, what is passed on as their option seeds.
        facet: Options to facet the figures by; default: all with few values.
        measure: Numbers to report, as paths in the trials' summary.json with wildcards, such as
            "defenses.*.test_accuracy"; default: the headline that the job names there.
        workers: Trials at once on this machine; default: half of the processor's cores.
        ray: Run on Ray instead: "auto" for the cluster that runs here (or a new one), "local" for
            a new one, or the address of one. Needs the extra `ray` on every node.
        cpus_per_trial: CPUs that Ray keeps for a trial.
        gpus_per_trial: GPUs that Ray keeps for a trial; trials may share one (0.5).
        resume: Finish what is missing of the sweep in --out; start it if there is none.
        out: Directory of the sweep; default: runs/sweep-<job>-<time>.
        overwrite: Put another sweep into the directory; trials that both have are not repeated.
    """

    job: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="JOB")]] = None
    grid: tuple[str, ...] = ()
    sample: tuple[str, ...] = ()
    num_samples: Count = 20
    sample_seed: int = 0
    configs: Path | None = None
    set: tuple[str, ...] = ()
    seeds: Count | None = None
    facet: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()
    workers: Count | None = None
    ray: str | None = None
    cpus_per_trial: NonNegative = 1.0
    gpus_per_trial: NonNegative = 0.0
    resume: bool = False
    out: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_option(
            self.job is not None or self.resume, "name the job to sweep, such as: sweep audit"
        )
        check_option(
            not self.resume or self.out is not None, "--resume needs --out, the sweep's directory"
        )
        if self.job is None:
            for name in ("grid", "sample", "configs", "set", "seeds"):
                check_option(not getattr(self, name), f"--{name} needs the job to be named as well")
        check_option(
            self.workers is None or self.ray is None,
            "--workers is for this machine alone; with --ray, use --cpus-per-trial",
        )
        for name, default in (("cpus_per_trial", 1.0), ("gpus_per_trial", 0.0)):
            check_option(
                self.ray is not None or getattr(self, name) == default,
                f"{flag(name)} is for Ray; pass --ray as well, or use --workers",
            )
