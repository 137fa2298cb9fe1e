"""Images thrown away: out of sight with all that was said of them, until they come back or the bin is emptied."""

import contextlib
import itertools
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database as Tables

from storage.database import Database

NAMELESS = "deleted image"
OF_AN_IMAGE = (  # tables
    "predictions held_out corrections image_marks image_progress image_files image_copies channels regions"
)


@dataclass(frozen=True)
class BinnedImage:
    id: int
    name: str
    act: int  # that threw it away
    author: str
    deleted_at: str


class Bin:
    """Thread-safe. Labels are taken back and brought again by `Acts`."""

    def __init__(self, root: Path, db: Database) -> None:
        self._root, self._db = root, db

    def images(self) -> list[BinnedImage]:
        """What can be brought back, the newest act first."""
        sql = """select i.id, i.shown_name as name, a.id as act, a.author, a.created_at as deleted_at
                 from images i join acts a on a.id = i.bin where not i.emptied order by a.id desc, i.id"""
        return [BinnedImage(**row) for row in self._db.rows(sql)]

    def put(self, image_ids: Collection[int], act_id: int) -> None:
        with self._db.transaction() as tables:
            for image_id in image_ids:
                sql = "update images set bin = ?, shown_name = name, name = 'bin ' || uid where id = ?"
                tables.execute(sql, [act_id, image_id])

    def take_out(self, image_ids: Collection[int]) -> None:
        """Raises LookupError where one is gone for good."""
        with self._db.transaction() as tables:
            for image_id in image_ids:
                row = next(tables.query("select * from images where id = ? and bin", [image_id]), None)
                if row is None or row["emptied"]:
                    raise LookupError(f"image {image_id} is not in the bin any more; import it again")
                name = free_name(self._db, row["shown_name"])
                tables.table("images").update(image_id, {"bin": None, "shown_name": None, "name": name})

    def imported_by(self, act_id: int) -> set[int]:
        """The images that an import brought and that are in sight."""
        rows = self._db.rows("select id from images where act = ? and bin is null", [act_id])
        return {row["id"] for row in rows}

    def thrown_by(self, act_id: int) -> set[int]:
        """The images that an act put here and that are still here."""
        rows = self._db.rows("select id from images where bin = ? and not emptied", [act_id])
        return {row["id"] for row in rows}

    def emptied(self, act_id: int) -> bool:
        """Whether anything of this act is gone for good."""
        return bool(self._db.number("select count(*) from images where emptied and bin = ?", [act_id]))

    def empty(self) -> int:
        """Delete what is in it for good, with labels, proposals and files; how many images. Of each a number without a
        name stays, so that the clock of the project never goes back."""
        rows = self._db.rows("select id, uid from images where bin and not emptied")
        files: list[Path] = []
        with self._db.transaction() as tables:
            for row in rows:
                files += _forget(tables, self._root, row["id"], row["uid"])
        for path in files:  # rows first: a crash here leaves files that no row knows, and those are swept
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        return len(rows)


def _forget(tables: Tables, root: Path, image_id: int, uid: str) -> list[Path]:
    """Remove the rows of an image; its files, which may go when the rows have."""
    files = [root / "images" / f"{uid}.npy"]
    channels = tables.query("select uid from channels where image_id = ?", [image_id])
    files += [root / "channels" / f"{row['uid']}.npy" for row in channels]
    labels = tables.query("select uid from labels where image_id = ? and uid is not null", [image_id])
    files += [root / "labels" / f"{row['uid']}.npz" for row in labels]
    for row in tables.query("select uid from predictions where image_id = ?", [image_id]):
        files += (root / "predictions").glob(f"{row['uid']}*")
    tables.execute("pragma defer_foreign_keys = on")  # events of an image name one another
    tables.execute(
        """update labels set revokes = null, prompts = '{}', author = '', classes = '[]'
                      where id = (select max(id) from labels where image_id = ?)""",
        [image_id],
    )
    last = "(select max(id) from labels where image_id = ?1)"
    tables.execute(f"delete from labels where image_id = ?1 and id < {last}", [image_id])
    for table in OF_AN_IMAGE.split():
        tables.execute(f"delete from {table} where image_id = ?", [image_id])
    blank = {
        "name": f"{NAMELESS} {image_id}",
        "shown_name": None,
        "digest": "",
        "pixels": None,
        "source": "",
        "facts": json.dumps({}),
    }
    tables.table("images").update(image_id, {**blank, "emptied": 1})
    return files


def free_name(db: Database, name: str) -> str:
    """This name, or with a number where another image has it."""
    taken = "select 1 from images where name = ?"
    if db.value(taken, [name]) is None:
        return name
    # a range of the index: thousands of images may have one name
    count = db.number("select count(*) from images where name > ? and name < ?", [f"{name} (", f"{name} )"])
    first = count + 2 if count and db.value(taken, [f"{name} ({count + 1})"]) is not None else 2
    return next(f"{name} ({n})" for n in itertools.count(first) if db.value(taken, [f"{name} ({n})"]) is None)
