"""The table of claims, as a table and as a block of a Markdown document."""

from collections.abc import Sequence
from pathlib import Path

from experiments.framework.claim import Claim
from experiments.framework.errors import UserError
from experiments.jobs.claims.collect import Tested
from experiments.report.tables import Table, to_markdown

BEGIN, END = "<!-- claims -->", "<!-- /claims -->"


def table(tested: Sequence[Tested], untested: Sequence[Claim]) -> Table:
    """One row per claim and run that tested it, in the order of their sources."""
    rows = [
        (entry.claim.source, entry.claim.statement, entry.setting, entry.claim) for entry in tested
    ] + [(claim.source, claim.statement, "–", claim) for claim in untested]
    return Table(
        "Claims of the papers, and what the latest runs say",
        ("claim", "source", "run", "measured", "verdict"),
        [
            [statement, source, setting, claim.measured, claim.verdict]
            for source, statement, setting, claim in sorted(rows, key=lambda row: row[:3])
        ],
        "Intervals are 95 % t-intervals over seeds. Reproduced: every interval of the claim's "
        "effects lies on its side of zero; partly: some do and none lies on the other side.",
    )


def counts(table: Table) -> Table:
    """How often each verdict was given."""
    verdicts = [row[-1] for row in table.rows]
    rows = [[verdict, str(verdicts.count(verdict))] for verdict in dict.fromkeys(verdicts)]
    return Table("Verdicts", ("verdict", "claims"), sorted(rows, key=lambda row: -int(row[1])))


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


def update(file: Path, content: Table) -> None:
    """Replaces what stands between the markers by the table."""
    before, rest = file.read_text().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    file.write_text(f"{before}{BEGIN}\n\n{to_markdown(content)}\n\n{END}{after}")
