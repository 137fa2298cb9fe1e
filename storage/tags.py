"""Tags: which classes are on a slice, said without drawing. Label events like any other, on the same clock."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlite_utils import Database as Tables

from storage.arrays import MAX_CLASS, SliceRef
from storage.database import Database
from storage.events.current_act import current_act
from storage.events.relabels import Relabel, class_now, classes_now, pairs_after, relabels_of
from storage.events.revoking import FURTHER, events_of, insert_revokes, member, sent_before

SOURCES = ("tagged", "imported")
MAX_ID = 54  # characters of an act's id; its further events append a number to it


@dataclass(frozen=True)
class NewTag:
    """What one key press says about one slice, before it has an id."""

    ref: SliceRef
    classes: tuple[int, ...]
    present: bool  # whether these classes are there, or are not

    def __post_init__(self) -> None:
        if not self.classes or not all(1 <= c <= MAX_CLASS for c in self.classes):
            raise ValueError(f"a tag names one class or more between 1 and {MAX_CLASS}, got {self.classes}")


@dataclass(frozen=True)
class TagBatch:
    """Who tags, and how: the same for all events of one act."""

    batch: str  # unique id of the act: a repeat is not a second one
    author: str
    source: str = "tagged"
    seconds: float = 0.0  # that the whole act took

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"a tag's source is one of {', '.join(SOURCES)}, got {self.source!r}")
        if not 0 <= self.seconds < 86400:
            raise ValueError(f"the seconds spent lie between 0 and a day, got {self.seconds}")
        if not 1 <= len(self.batch) <= MAX_ID:
            raise ValueError(f"an act of tagging needs an id of 1 to {MAX_ID} characters")


@dataclass(frozen=True)
class TagRow:
    """One live tag event."""

    id: int
    client_id: str
    ref: SliceRef
    classes: tuple[int, ...]
    present: bool
    source: str
    author: str
    seconds: float
    created_at: str


class Tags:
    """Thread-safe. The newest tag of a slice and class counts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, new: Sequence[NewTag], by: TagBatch) -> int:
        """All of one act in one transaction, durable when it returns; how many came. The same act again adds none."""
        with self._db.transaction() as tables:
            if sent_before(tables, by.batch):
                return 0
            table = tables.table("labels")
            for number, tag in enumerate(new):
                table.insert(_row(tag, by, number, len(new)))
        return len(new)

    def of(self, image_ids: Sequence[int] | None = None) -> list[TagRow]:
        """The live tags of these images, or of all, oldest first, in the classes of today."""
        some = "" if image_ids is None else f" and image_id in ({','.join('?' * len(image_ids))})"
        sql = f"select * from labels where kind = 'tag' and live{some} order by id"
        relabels = relabels_of(self._db, image_ids)
        tags = (
            _now(_tag(row), relabels.get(row["image_id"], [])) for row in self._db.rows(sql, image_ids or [])
        )
        return [tag for tag in tags if tag.classes]

    def take_back(self, client_id: str, author: str) -> list[SliceRef]:
        """Revoke this author's newest act; the slices it was about. The same client id again changes nothing and gives
        the same answer. Raises LookupError where there is none."""
        with self._db.transaction() as tables:
            if sent_before(tables, client_id):
                return _revoked_by(tables, client_id, author)
            newest = "select client_id from labels where kind = 'tag' and live and author = ?"
            row = next(tables.query(newest + " order by id desc limit 1", [author]), None)
            if row is None:
                raise LookupError("you have no tag to undo")
            act = FURTHER.sub(r"\1", row["client_id"])
            events = [e for e in events_of(tables, act, author) if e["kind"] == "tag" and e["live"]]
            insert_revokes(tables, events, client_id, author)
        return [_tag(event).ref for event in events]

    def seconds(self) -> float:
        """That people spent on tagging, tags taken back included."""
        return float(self._db.value("select coalesce(sum(seconds), 0) from labels where kind = 'tag'"))

    def newest(self) -> int:
        """The id of the newest event about tags, revocations included; 0 for none."""
        return self._db.number("select coalesce(max(id), 0) from labels where present is not null")


def _row(tag: NewTag, by: TagBatch, number: int, count: int) -> dict[str, Any]:
    return {
        "client_id": member(by.batch, number),
        "image_id": tag.ref.image_id,
        "kind": "tag",
        "axis": tag.ref.axis,
        "slice": tag.ref.index,
        "classes": json.dumps(sorted(set(tag.classes))),
        "present": int(tag.present),
        "source": by.source,
        "author": by.author,
        "act": current_act.get(),
        "seconds": by.seconds / count,
    }


def _revoked_by(tables: Tables, client_id: str, author: str) -> list[SliceRef]:
    revocations = events_of(tables, client_id, author)
    return [SliceRef(row["image_id"], row["axis"], row["slice"]) for row in revocations]


def _now(tag: TagRow, relabels: list[Relabel]) -> TagRow:
    """That a class is not there says nothing about the one that it became."""
    pairs = pairs_after(relabels, tag.id)
    kept = tag.classes if tag.present else [c for c in tag.classes if class_now(c, pairs) == c]
    return replace(tag, classes=classes_now(kept, pairs)) if pairs else tag


def _tag(row: dict[str, Any]) -> TagRow:
    return TagRow(
        id=row["id"],
        client_id=row["client_id"],
        ref=SliceRef(row["image_id"], row["axis"], row["slice"]),
        classes=tuple(json.loads(row["classes"])),
        present=bool(row["present"]),
        source=row["source"],
        author=row["author"],
        seconds=row["seconds"],
        created_at=row["created_at"],
    )
