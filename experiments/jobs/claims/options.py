"""Options of the job `claims`."""

from pathlib import Path

from experiments.framework.options import RunOptions, options


@options
class Options(RunOptions):
    """Gather the claims that runs tested into one list of verdicts.

    Of every job, data set and model the latest completed run that tested a claim counts. Claims
    that no job can test on one machine are listed with the reason.

    Attributes:
        runs: Folders to search, at any depth, for run directories.
        docs: Folder into which to write the verdicts (claims.md) and the tables of every run that
            counts (one page each), with a record of these runs in records/: the runs of an earlier
            call count as well, until a later one of their setting takes their place or their
            record is deleted. Default: none.
        update: Markdown file in which to replace what stands between `<!-- claims -->` and
            `<!-- /claims -->` by the list; default: none.
    """

    runs: tuple[Path, ...] = (Path("runs"),)
    docs: Path | None = None
    update: Path | None = None
