"""Claims and the tables of runs as Markdown."""

import shlex
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from experiments.framework.claims import Claim
from experiments.framework.errors import UserError
from experiments.jobs.claims.collect import Run, Tested
from experiments.report.formats import significant

BEGIN, END = "<!-- claims -->", "<!-- /claims -->"
_MARK = "<!-- written by the job `claims`; changes are lost -->"
_READING = (
    "One line per claim: verdict, statement, and the effect that decides with its 95 % interval "
    "over seeds; the details unfold. An effect is positive where its claim holds. Reproduced: the "
    "interval of every effect lies above zero; partly: some do; not told apart: all include zero; "
    "contradicted: one lies below. Effects are in the unit of what was measured: rates, accuracies "
    "and AUC as fractions (0.01 is one point), factors as decimal logarithms; where a claim names "
    "a limit, the effect is the distance to it."
)
_LONG = 15  # rows from which a table is folded


def listed(tested: Sequence[Tested]) -> str:
    """One line per claim and run that tested it: verdict, statement, number; details folded."""
    settings = ("" if one.setting == "–" else f" ({one.setting})" for one in tested)
    return "\n".join(map(_item, tested, settings)) + "\n"


def _item(one: Tested, setting: str = "") -> str:
    claim = one.claim
    statement = claim.statement.rstrip(".") + setting
    line = f"<b>{claim.verdict}</b>: {_plain(statement)}{_number(claim)}"
    details = [f"Measured: {claim.measured}", f"Claimed by: {claim.source}"]
    if one.run:
        details.append(f"Run: {one.name}, {one.run.time}")
    body = "<br>\n".join(map(_plain, details)).replace(escape("<br>"), "<br>")
    return f"<details><summary>{line}</summary>\n\n{body}\n\n</details>"


def _plain(text: str) -> str:
    """Text as it is: no tags, and no emphasis where a line has two stars."""
    return escape(text, quote=False).replace("*", "&#42;")


def _number(claim: Claim) -> str:
    """The effect that decides, the lowest, with its interval."""
    if not claim.effects:
        return ""
    mean, low, high = min(claim.effects, key=lambda effect: effect.low)
    if low != low:
        return ""
    of_how_many = f", lowest of {len(claim.effects)}" if len(claim.effects) > 1 else ""
    shown = [significant(value, 2) for value in (mean, low, high)]
    return f": effect {shown[0]} [{shown[1]}, {shown[2]}]{of_how_many}"


def check_markers(file: Path) -> None:
    """Checks that a file has the block that is to be replaced.

    Raises:
        UserError: The file cannot be read, or has no such block.
    """
    try:
        text = file.read_text()
    except OSError as error:
        raise UserError(f"cannot read --update {file}: {error.strerror}") from error
    if BEGIN not in text or END not in text.split(BEGIN, 1)[1]:
        raise UserError(f"--update {file} has no lines '{BEGIN}' and '{END}' to write between")


def update(file: Path, content: str) -> None:
    """Replaces what stands between the markers."""
    before, rest = file.read_text().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    file.write_text(f"{before}{BEGIN}\n\n{content}\n{END}{after}")


def write_pages(folder: Path, tested: Sequence[Tested], runs: Sequence[Run]) -> None:
    """Writes claims.md, and a page with the tables of the latest run of every setting.

    Args:
        folder: Where; pages of an earlier call that nothing replaces are removed.
        tested: Every claim.
        runs: Completed runs, oldest first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for page in folder.glob("*.md"):
        if page.read_text().startswith(_MARK):
            page.unlink()
    latest = {run.setting: run for run in runs if run.tables is not None}
    names = {setting: f"{slug(setting)}.md" for setting in latest}
    for setting, run in latest.items():
        (folder / names[setting]).write_text(_page(run))
    links = {setting: f"[{setting}]({name})" for setting, name in sorted(names.items())}
    counts = Counter(one.claim.verdict for one in tested).most_common()
    parts = [
        _MARK,
        "# Claims of the papers, and what the latest runs say",
        f"Of {len(tested)} claims: {', '.join(f'{count} {name}' for name, count in counts)}.",
        _READING,
    ]
    for setting in sorted({one.setting for one in tested} - {"–"}):
        parts += [f"## {links.get(setting, setting)}", _items(tested, setting)]
    if out_of_reach := _items(tested, "–"):
        parts += ["## Out of reach of one machine", out_of_reach]
    parts += ["## Runs, with all their tables", "\n".join(f"- {link}" for link in links.values())]
    (folder / "claims.md").write_text("\n\n".join(parts) + "\n")


def _items(tested: Sequence[Tested], setting: str) -> str:
    return "\n".join(_item(one) for one in tested if one.setting == setting)


def _page(run: Run) -> str:
    environment = run.config["environment"]
    versions = ", ".join(f"{name} {v}" for name, v in environment["versions"].items())
    tables = _folded(run.tables or "")
    return (
        f"{_MARK}\n\n# {run.setting}\n\n`{shlex.join(run.command)}`\n\n"
        f"{environment['time']}, {run.seconds:.0f} s on {environment['cpus']} cores; "
        f"Python {environment['python']}, {versions}.\n\n{tables}"
    )


def _folded(tables: str) -> str:
    """The tables of a run; the long ones unfold below their titles."""
    blocks = tables.split("\n\n")
    for index, block in enumerate(blocks):
        if block.startswith("| ") and block.count("\n") > _LONG:
            title = _plain(blocks[index - 1].strip("*"))
            blocks[index - 1] = f"<details><summary><b>{title}</b></summary>"
            blocks[index] = f"{block}\n\n</details>"
    return "\n\n".join(blocks)


def slug(setting: str) -> str:
    """Name of a setting's page, and of its record."""
    words = "".join(c if c.isalnum() or c == "_" else " " for c in setting).split()
    return "-".join(words)
