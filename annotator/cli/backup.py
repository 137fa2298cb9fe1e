"""`backup`, `restore` and `check`: a project as one archive, back from it, and every file against its row."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.cli.common import Options, Parser, print_refused, require_project, terminal_job

if TYPE_CHECKING:
    from annotator.backups.check import Findings

SHOWN = 50  # lines of a kind; the rest is counted


def fill_backup(command: Parser) -> None:
    command.add_argument("target", type=Path, help="the .zip file to write, best on another disk")
    require_project(command)


def run_backup(options: Options) -> int:
    """Write a project as one archive: its database at one moment, images, labels, proposals and models. The project
    may be open and worked on meanwhile. Accounts are left out."""
    from annotator.backups.backup import back_up

    job = terminal_job("backup")
    manifest = back_up(options.project, options.target, job)
    print(file=sys.stderr)
    print_refused(job.refused)
    size = sum(size for size, _ in manifest.files.values())
    print(f"backed up {len(manifest.files):,} files, {size / 1e6:,.1f} MB, to {options.target}")
    return 1 if job.refused else 0


def fill_restore(command: Parser) -> None:
    command.add_argument("source", type=Path, help="a backup's archive, or a snapshot: a .db file of backups")
    command.add_argument(
        "--project", type=Path, required=True, help="a new folder; one that is there is refused"
    )


def run_restore(options: Options) -> int:
    """Make a project anew from a backup or a snapshot. Every file is checked against its checksum first."""
    from annotator.backups.restore import restore

    job = terminal_job("restore")
    count = restore(options.source, options.project, job)
    print(file=sys.stderr)
    print_refused(job.refused)
    print(f"restored {count:,} files to {options.project}")
    return 1 if job.refused else 0


def fill_check(command: Parser) -> None:
    require_project(command)


def run_check(options: Options) -> int:
    """Check every file of a project against its row. What can be made again is marked to be, what a snapshot still
    has comes back, and the rest is said; the exit code is 1 where something is lost."""
    found = _found(options.project)
    print(file=sys.stderr)
    for kind, lines in (("mended", found.mended), ("note", found.notes), ("damaged", found.damaged)):
        for line in lines[:SHOWN]:
            print(f"{kind}: {line}")
        if len(lines) > SHOWN:
            print(f"{kind}: and {len(lines) - SHOWN:,} more")
    whole = "whole" if not found.damaged else f"damaged in {len(found.damaged):,} places"
    print(f"{found.files:,} files checked; the project is {whole}")
    return 1 if found.damaged else 0


def _found(project: Path) -> "Findings":
    """Mends where nobody else has the project open and it can be written. Raises DamagedDatabase."""
    from annotator.backups.check import check
    from annotator.backups.snapshots import snapshots
    from storage.database import DamagedDatabase, ProjectUnwritable, StorageFull
    from storage.lock import ProjectBusy
    from storage.store import Store

    job = terminal_job("check")
    try:
        store = Store.existing(project)
    except (ProjectBusy, ProjectUnwritable, StorageFull) as error:
        print(f"Nothing is mended now: {error}.", file=sys.stderr)
        return check(project, job, mend=False)
    except DamagedDatabase as error:
        made = snapshots(project)
        if not made:
            raise
        raise RuntimeError(
            f"{error}. Its newest snapshot: python app.py restore {made[-1]} --project NEW"
        ) from error
    try:
        return check(project, job, mend=True)
    finally:
        store.close()
