"""What a copy of a project holds: its database at one moment, and the files that the rows in it name."""

import sqlite3
from collections.abc import Container, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from storage.safety.looking import look_at
from storage.safety.own_files import DATABASE
from storage.safety.schema_version import refuse_newer

ROUND_FILES = "select id from rounds where status = 'done'"
LASTING = "final"  # the folder of a training of hours or days, below that of the rounds
GOES_ON_FROM = {
    ".pt",
    ".json",
    ".safetensors",
}  # what such a training needs to go on; the rest it makes again
LABEL_CLOCK = "select coalesce(max(id), 0) from labels"


@dataclass(frozen=True)
class NamedFiles:
    """By their places in the project's folder. What is derived can be made again."""

    images: tuple[str, ...]  # and their channels
    labels: tuple[str, ...]
    derived: tuple[str, ...]  # proposals, models of rounds and what becomes one, the tuned prompt model
    proposed: tuple[str, ...] = ()  # what rows of proposals name, whether it is there or not

    @property
    def own(self) -> tuple[str, ...]:
        return self.images + self.labels

    @property
    def rows(self) -> tuple[str, ...]:
        """What any row names."""
        return self.own + self.proposed


def copy_database(root: Path, target: Path) -> None:
    """The database as it stands, while others write it: all of each change or nothing. Raises sqlite3.DatabaseError."""
    with closing(look_at(root / DATABASE)) as source, closing(sqlite3.connect(target)) as copy:
        source.connection.backup(copy)
        copy.execute("pragma journal_mode = delete")  # one file, without a journal beside it


def files_named(database: Path, root: Path) -> NamedFiles:
    """What a copied database names. `root`: where to look which derived files there are."""
    with closing(_reading(database)) as rows:
        images = rows.execute("select uid from images where not emptied order by id").fetchall()
        channels = _channels(rows)
        labels = rows.execute("select uid from labels where uid is not null order by id").fetchall()
        proposals = {uid for (uid,) in rows.execute("select uid from predictions")}
        rounds = {str(number) for (number,) in rows.execute(ROUND_FILES)}
    return NamedFiles(
        (*(f"images/{uid}.npy" for (uid,) in images), *(f"channels/{uid}.npy" for (uid,) in channels)),
        tuple(f"labels/{uid}.npz" for (uid,) in labels),
        tuple(sorted(_derived(root, proposals, rounds))),
        tuple(f"predictions/{uid}.classes.npy" for uid in sorted(proposals)),
    )


def facts_in(database: Path) -> tuple[object, ...]:
    """What people said and brought: two databases with the same facts are not worth two copies."""
    with closing(_reading(database)) as rows:
        clock = rows.execute(LABEL_CLOCK).fetchone()
        images = rows.execute("select id, name, bin, emptied, facts from images order by id").fetchall()
        classes = rows.execute("select id, name, color, removed from classes order by id").fetchall()
        marks = rows.execute("select image_id, mark from image_marks order by image_id, mark").fetchall()
    return clock, tuple(images), tuple(classes), tuple(marks)


def clock_in(database: Path) -> int:
    """The number of the newest event."""
    with closing(_reading(database)) as rows:
        return int(rows.execute(LABEL_CLOCK).fetchone()[0])


def forget_proposals(database: Path, there: Container[str]) -> int:
    """Proposals whose files are not all among these places are made again; how many there were."""
    with closing(sqlite3.connect(database)) as rows, rows:
        uids = [uid for (uid,) in rows.execute("select uid from predictions")]
        lost = [
            (uid,)
            for uid in uids
            if not all(f"predictions/{uid}.{kind}.npy" in there for kind in ("classes", "confidence"))
        ]
        rows.executemany("delete from predictions where uid = ?", lost)
    return len(lost)


def _reading(database: Path) -> sqlite3.Connection:
    """Raises NewerProject."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    try:
        refuse_newer(connection)
        return connection
    except BaseException:
        connection.close()
        raise


def _channels(rows: sqlite3.Connection) -> list[tuple[str]]:
    """Of a snapshot of an older version there are none."""
    if not rows.execute("select 1 from sqlite_master where name = 'channels'").fetchone():
        return []
    return rows.execute("select uid from channels order by id").fetchall()


def _derived(root: Path, proposals: set[str], rounds: set[str]) -> Iterator[str]:
    for path in _files_below(root / "predictions"):
        if path.name.split(".")[0] in proposals:
            yield path.relative_to(root).as_posix()
    for path in _files_below(root / "rounds"):
        place = path.relative_to(root / "rounds")
        goes_on = place.parts[0] == LASTING and path.suffix in GOES_ON_FROM
        if goes_on or place.parts[0] in rounds or place.parts[0].startswith("pool-"):
            yield path.relative_to(root).as_posix()
    for path in _files_below(root / "tuned"):
        yield path.relative_to(root).as_posix()


def _files_below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
