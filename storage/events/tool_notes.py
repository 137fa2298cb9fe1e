"""What other tools keep in a project: up to which label somebody has seen an image there, and notes beside images and
labels, which we hand back as they came."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.database import Database

IMAGE = ""  # the tag of the note about an image itself


@dataclass(frozen=True)
class ToolNote:
    """`rev`: the newest event of the image when the label of this tag was saved."""

    tag: str
    rev: int
    author: str
    info: dict[str, Any]


class ToolNotes:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def seen(self, author: str, image_id: int) -> int:
        """The newest event of this image that the person got to see in another tool, 0 for none."""
        sql = "select coalesce(max(rev), 0) from handed_out where author = ? and image_id = ?"
        return self._db.number(sql, [author, image_id])

    def note_seen(self, author: str, revs: Mapping[int, int]) -> None:
        """`revs`: image -> the event up to which its labels were handed out. The disk is waited for once."""
        sql = "insert or replace into handed_out (author, image_id, rev) values (?, ?, ?)"
        with self._db.transaction() as tables:
            for image_id, rev in revs.items():
                tables.execute(sql, [author, image_id, rev])

    def of(self, image_id: int) -> dict[str, ToolNote]:
        """By tag."""
        rows = self._db.rows("select * from tool_notes where image_id = ? order by tag", [image_id])
        return {row["tag"]: _note(row) for row in rows}

    def all(self) -> dict[int, dict[str, ToolNote]]:
        """As `of`, of every image that has notes."""
        found: dict[int, dict[str, ToolNote]] = {}
        for row in self._db.rows("select * from tool_notes order by image_id, tag"):
            found.setdefault(row["image_id"], {})[row["tag"]] = _note(row)
        return found

    def keep(self, image_id: int, note: ToolNote) -> None:
        """In place of the one with its tag."""
        sql = "insert or replace into tool_notes (image_id, tag, rev, author, info) values (?, ?, ?, ?, ?)"
        with self._db.transaction() as tables:
            tables.execute(sql, [image_id, note.tag, note.rev, note.author, json.dumps(note.info)])

    def remove(self, image_id: int, tag: str) -> None:
        with self._db.transaction() as tables:
            tables.execute("delete from tool_notes where image_id = ? and tag = ?", [image_id, tag])


def _note(row: dict[str, Any]) -> ToolNote:
    return ToolNote(row["tag"], row["rev"], row["author"], json.loads(row["info"]))
