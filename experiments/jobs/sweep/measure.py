"""Runs a job over many configurations.

A sweep does not fill the frame of the other jobs: its directory is one that it comes back to.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Console

from experiments.framework.claims import CLAIMS_FILE, Claim, read_claims
from experiments.framework.errors import UserError, as_user_error, check_option
from experiments.framework.run_directory import default_path, to_json
from experiments.framework.schema import Schema, to_arguments
from experiments.framework.trial import Tick, Trial
from experiments.jobs.sweep import space
from experiments.jobs.sweep.cluster import Cluster
from experiments.jobs.sweep.directory import SweepDirectory
from experiments.jobs.sweep.gather import gather, names_in
from experiments.jobs.sweep.local import run_locally
from experiments.jobs.sweep.options import Options
from experiments.jobs.sweep.pooling import Contrast, claims_over, contrasts
from experiments.jobs.sweep.report import report, telling, varied
from experiments.jobs.sweep.view import view

TRIAL_FAILED = 1

Backend = Callable[[Sequence[Trial], SweepDirectory], Iterator[Tick]]


def run(options: Options) -> int:
    """Runs the sweep; returns 0, or 1 if a trial failed."""
    console = Console()
    wanted = _wanted(options)
    directory = SweepDirectory(options.out or default_path(f"sweep-{options.job}"))
    trials = _agreed(wanted, directory, options)
    facets = [Schema(trials[0].job).name(text) for text in options.facet]
    names = varied(trials)
    for facet in facets:
        check_option(facet in names, f"--facet {facet}: the option is the same in all trials")
    run_trials = _backend(options)
    with directory.opened(), as_user_error(OSError):  # a disk may fill up on the way
        if wanted is not None:
            directory.record(trials, _command(options))
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
        effects, claims = _claims(directory, trials, telling(trials, facets))
        called = names_in(directory.run(t) for t in trials if directory.is_done(t))
        drawn = report(trials, table, failed, facets, options.measure, effects, claims, called)
        shutil.rmtree(directory.path / "figures", ignore_errors=True)  # of other facets
        drawn.write(directory)
    drawn.show(console)
    console.print(f"report: {directory.path / drawn.file}", soft_wrap=True)
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


def _claims(
    directory: SweepDirectory, trials: Sequence[Trial], names: Sequence[str]
) -> tuple[list[Contrast], list[Claim]]:
    """The claims over all settings, which are written down, and what they are judged by."""
    effects = contrasts(
        [
            (
                tuple(getattr(trial.options, name) for name in names),
                read_claims(directory.run(trial)),
            )
            for trial in trials
            if directory.is_done(trial)
        ]
    )
    claims = list(claims_over(effects))
    directory.write(CLAIMS_FILE, to_json([dataclasses.asdict(claim) for claim in claims]))
    return effects, claims


def _command(options: Options) -> list[str]:
    """The command that makes the sweep, wherever it is to lie."""
    words = to_arguments(options)
    place = words.index("--job")
    arguments = [word for word in words[:place] + words[place + 2 :] if word != "--resume"]
    return ["python", "-m", "experiments", "sweep", words[place + 1], *arguments]


def _backend(options: Options) -> Backend:
    """What runs trials; connecting to it may fail, so that comes before anything is begun."""
    if options.ray is not None:
        return Cluster(options.ray, options.cpus_per_trial, options.gpus_per_trial).run
    return partial(run_locally, workers=options.workers or -(-(os.cpu_count() or 1) // 2))


def _opening(trials: Sequence[Trial], skipped: int, directory: SweepDirectory) -> str:
    text = f"{len(trials)} trials of {trials[0].job} in {directory.path}"
    return text + (f"; {skipped} are done already" if skipped else "")
