"""The command line: `python -m experiments <job> [options]`."""

import ast
import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import tyro
from rich.console import Console

from experiments.framework.errors import UserError
from experiments.framework.options import without_retired

USER_ERROR = 2
INTERRUPTED = 130

_JOBS = Path(__file__).parents[1] / "jobs"


@cache
def job_names() -> dict[str, str]:
    """Every job, and what it is for: the folders of `experiments.jobs`, and their first lines."""
    return {path.parent.name: _first_line(path) for path in sorted(_JOBS.glob("*/__init__.py"))}


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
        shown = without_retired(job.Options) if {"-h", "--help"} & set(rest) else job.Options
        options = tyro.cli(shown, args=rest, prog=f"python -m experiments {name}")
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
        name: One of `job_names`, or the dotted name of any module with `Options` and `run`.

    Raises:
        UserError: There is no such job.
    """
    if name in job_names():
        return importlib.import_module(f"experiments.jobs.{name}")
    if "." not in name:
        raise UserError(f"unknown job '{name}'; choose one of {', '.join(job_names())}")
    try:
        job = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"unknown job '{name}': {error}") from error
    if not hasattr(job, "Options") or not hasattr(job, "run"):
        raise UserError(f"module {name} is not a job: it lacks Options or run")
    return job


def _first_line(path: Path) -> str:
    """The first line of a module's docstring, read without importing it."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.partition("\n")[0].rstrip(".")


def _usage() -> str:
    jobs = job_names()
    width = max(map(len, jobs))
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, what in jobs.items())
    return (
        "usage: python -m experiments <job> [options]\n\n"
        f"jobs:\n{listed}\n\n`python -m experiments <job> --help` lists the options of a job."
    )
