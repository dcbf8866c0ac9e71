"""The command line: `python -m experiments <job> [options]`."""

import importlib
import sys
from types import ModuleType

import tyro
from rich.console import Console

from experiments.errors import UserError

# A job is a module with a frozen dataclass `Options` and a function `run(options) -> exit code`.
JOBS = {
    "compare": "defenses side by side on real data: accuracy, and privacy as attacks measure it",
    "audit": "train one model, watch what it discloses, and decide whether to release it",
    "tune": "search the hyperparameters with which `compare` runs every defense",
    "benchmark": "time and memory of a step, beside plain steps and other libraries",
    "sweep": "run a job over a grid, a list or random draws of its options",
    "censoring": "remove and retrain against DP-SGD, on several data sets",
    "control": "gate, clip and budget against censoring, at equal accuracy",
    "onion": "remove the most disclosing examples, and look who is exposed then",
    "who_pays": "accuracy and exposure by class or subgroup, where some are rare",
    "invert": "what inversion attacks reconstruct from shared updates, defense by defense",
    "precode": "PRECODE, PPP and CVB: accuracy, and attacks that know of them or not",
    "leakage": "what the gradient of each layer gives away, about an attribute and the input",
    "claims": "what the latest runs say about every claim of the papers",
    "monotone": "study: is an attack the more successful, the more unique a gradient is?",
    "calibration": "study: is the predicted attack the achieved one, and under which ridge?",
    "auditors": "study: GNQ, one-run audit, LiRA and accountant on the same DP-SGD runs",
}

USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Runs one job.

    Args:
        arguments: Command line after the program's name; `sys.argv` if None.

    Returns:
        The exit code: 0, the job's own, 2 for a mistake of the user, 130 if interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else USER_ERROR
    name, *rest = arguments
    try:
        job = load_job(name)
        options = tyro.cli(job.Options, args=rest, prog=f"python -m experiments {name}")
        return job.run(options)
    except UserError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def load_job(name: str) -> ModuleType:
    """The module of a job.

    Args:
        name: One of `JOBS`, or the dotted name of any module with `Options` and `run`.

    Raises:
        UserError: There is no such job.
    """
    if name in JOBS:
        return importlib.import_module(f"experiments.{name}")
    if "." not in name:
        raise UserError(f"unknown job '{name}'; choose one of {', '.join(JOBS)}")
    try:
        job = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"unknown job '{name}': {error}") from error
    if not hasattr(job, "Options") or not hasattr(job, "run"):
        raise UserError(f"module {name} is not a job: it lacks Options or run")
    return job


def _usage() -> str:
    width = max(map(len, JOBS))
    jobs = "\n".join(f"  {name:<{width}}  {what}" for name, what in JOBS.items())
    return (
        "usage: python -m experiments <job> [options]\n\n"
        f"jobs:\n{jobs}\n\n`python -m experiments <job> --help` lists the options of a job."
    )


if __name__ == "__main__":
    sys.exit(main())
