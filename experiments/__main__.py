"""The command line: `python -m experiments <job> [options]`."""

import importlib
import sys

import tyro
from rich.console import Console

from experiments.errors import UserError

# A job is a module with a frozen dataclass `Options` and a function `run(options) -> exit code`.
JOBS = {
    "compare": "defenses side by side on real data: accuracy, and privacy as attacks measure it",
    "audit": "train one model, watch what it discloses, and decide whether to release it",
    "tune": "search the hyperparameters with which `compare` runs every defense",
    "benchmark": "time and memory of a step, beside plain steps and other libraries",
    "claims": "what the latest runs say about every claim of the papers",
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
    if name not in JOBS:
        print(f"error: unknown job '{name}'; choose one of {', '.join(JOBS)}", file=sys.stderr)
        return USER_ERROR
    job = importlib.import_module(f"experiments.{name}")
    try:
        options = tyro.cli(job.Options, args=rest, prog=f"python -m experiments {name}")
        return job.run(options)
    except UserError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _usage() -> str:
    width = max(map(len, JOBS))
    jobs = "\n".join(f"  {name:<{width}}  {what}" for name, what in JOBS.items())
    return (
        "usage: python -m experiments <job> [options]\n\n"
        f"jobs:\n{jobs}\n\n`python -m experiments <job> --help` lists the options of a job."
    )


if __name__ == "__main__":
    sys.exit(main())
