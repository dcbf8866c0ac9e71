"""Job `sweep`: a job over many configurations, in one table and one report."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from experiments.framework.errors import UserError, as_user_error, check_option
from experiments.framework.run_directory import default_path
from experiments.framework.schema import Schema
from experiments.framework.trial import Tick, Trial
from experiments.jobs.sweep import report, space
from experiments.jobs.sweep.cluster import Cluster
from experiments.jobs.sweep.directory import SweepDirectory
from experiments.jobs.sweep.gather import gather
from experiments.jobs.sweep.local import run_locally
from experiments.jobs.sweep.view import view
from experiments.report.tables import to_terminal

TRIAL_FAILED = 1

Backend = Callable[[Sequence[Trial], SweepDirectory], Iterator[Tick]]


@dataclass(frozen=True)
class Options:
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
    num_samples: int = 20
    sample_seed: int = 0
    configs: Path | None = None
    set: tuple[str, ...] = ()
    seeds: int | None = None
    facet: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()
    workers: int | None = None
    ray: str | None = None
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    resume: bool = False
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the sweep; returns 0, or 1 if a trial failed."""
    _check(options)
    console = Console()
    wanted = _wanted(options)
    directory = SweepDirectory(options.out or default_path(f"sweep-{options.job}"))
    trials = _agreed(wanted, directory, options)
    facets = [Schema(trials[0].job).name(text) for text in options.facet]
    names = report.varied(trials)
    for facet in facets:
        check_option(facet in names, f"--facet {facet}: the option is the same in all trials")
    run_trials = _backend(options)
    with directory.opened(), as_user_error(OSError):  # a disk may fill up on the way
        directory.record(trials)
        missing = [trial for trial in trials if not directory.is_done(trial)]
        console.print(_opening(trials, len(trials) - len(missing), directory), soft_wrap=True)
        with view(console, len(trials), len(trials) - len(missing), names) as shown:
            try:
                for tick in run_trials(missing, directory):
                    shown.show(tick)
            except KeyboardInterrupt:
                resume = f"python -m experiments sweep --resume --out {directory.path}"
                console.print(f"stopped; go on with: {resume}", soft_wrap=True)
                raise
        order = {trial.id: index for index, trial in enumerate(trials)}
        failed = sorted(shown.failed, key=lambda outcome: order[outcome.trial.id])
        table = gather(directory, trials, failed)
        tables = report.write(directory, trials, table, failed, facets, options.measure)
    for drawn in tables:
        console.print(to_terminal(drawn))
    console.print(f"report: {directory.path / report.PAGE}", soft_wrap=True)
    return TRIAL_FAILED if failed else 0


def _wanted(options: Options) -> list[Trial] | None:
    """The trials that the options ask for; None if they leave that to the directory."""
    if options.job is None:
        return None
    schema = Schema(options.job)
    return space.all_trials(
        schema,
        space.read_fixed(schema, options.set),
        space.read_configs(schema, options.configs),
        space.read_samples(schema, options.sample, options.num_samples, options.sample_seed),
        space.read_grid(schema, options.grid),
        space.read_seeds(schema, options.seeds),
    )


def _agreed(wanted: list[Trial] | None, directory: SweepDirectory, options: Options) -> list[Trial]:
    """The trials to run, which must be those of a sweep that was started in the directory."""
    recorded = directory.recorded()
    if recorded is None:
        if wanted is None:
            raise UserError(f"there is no sweep in '{directory.path}'; name the job to start one")
        return wanted
    if wanted is None:
        return recorded
    same = [trial.id for trial in wanted] == [trial.id for trial in recorded]
    check_option(
        same or options.overwrite,
        f"'{directory.path}' holds a sweep of {recorded[0].job} over other configurations; choose "
        "another --out, or pass --overwrite to keep only the trials that both have",
    )
    check_option(
        options.resume or options.overwrite,
        f"'{directory.path}' already holds this sweep; pass --resume to finish what is missing",
    )
    return wanted


def _backend(options: Options) -> Backend:
    """What runs trials; connecting to it may fail, so that comes before anything is begun."""
    if options.ray is not None:
        return Cluster(options.ray, options.cpus_per_trial, options.gpus_per_trial).run
    return partial(run_locally, workers=options.workers or -(-(os.cpu_count() or 1) // 2))


def _opening(trials: Sequence[Trial], skipped: int, directory: SweepDirectory) -> str:
    text = f"{len(trials)} trials of {trials[0].job} in {directory.path}"
    return text + (f"; {skipped} are done already" if skipped else "")


def _check(options: Options) -> None:
    check_option(
        options.job is not None or options.resume, "name the job to sweep, such as: sweep audit"
    )
    check_option(
        not options.resume or options.out is not None, "--resume needs --out, the sweep's directory"
    )
    if options.job is None:
        for name in ("grid", "sample", "configs", "set", "seeds"):
            check_option(not getattr(options, name), f"--{name} needs the job to be named as well")
    check_option(
        options.workers is None or options.workers >= 1,
        f"--workers {options.workers} must be at least 1",
    )
    check_option(
        options.workers is None or options.ray is None,
        "--workers is for this machine alone; with --ray, use --cpus-per-trial",
    )
    for name, smallest in (("cpus_per_trial", 0.0), ("gpus_per_trial", 0.0)):
        value = getattr(options, name)
        flag = f"--{name.replace('_', '-')}"
        check_option(value >= smallest, f"{flag} {value:g} must not be negative")
        check_option(
            options.ray is not None or value == Options.__dataclass_fields__[name].default,
            f"{flag} is for Ray; pass --ray as well, or use --workers",
        )
