"""What documents need of the runs behind them, kept beside them: run directories come and go."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from experiments.framework.claims import from_json
from experiments.framework.run_directory import to_json
from experiments.jobs.claims.collect import Run, Tested, portable
from experiments.jobs.claims.document import slug

_FOLDER = "records"


def read_records(docs: Path) -> list[Run]:
    """The runs of an earlier call of `write_records`, oldest first."""
    runs = [
        Run(**{**record, "claims": from_json(record["claims"])})
        for file in sorted((docs / _FOLDER).glob("*.json"))
        for record in json.loads(file.read_text())
    ]
    return sorted(runs, key=lambda run: run.time)


def write_records(docs: Path, tested: Sequence[Tested], runs: Sequence[Run]) -> None:
    """Writes one file for each setting, with the runs that count for it.

    Args:
        docs: Folder of the documents; the records are in a folder of it.
        tested: Every claim with the run that counts.
        runs: All runs, oldest first; of each setting the latest counts for its tables.
    """
    counting = {id(one.run) for one in tested} | {
        id(run) for run in {run.setting: run for run in runs if run.tables is not None}.values()
    }
    of_setting = defaultdict(list)
    for run in runs:
        if id(run) in counting:
            record = dataclasses.asdict(run) | {"config": portable(run.config)}
            of_setting[run.setting].append(record)
    folder = docs / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for setting, records in of_setting.items():
        (folder / f"{slug(setting)}.json").write_text(to_json(records))
