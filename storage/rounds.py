"""Rounds of learners as rows: what ran, what it saw, which model was kept, and how good it was."""

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.arrays import UNLABELLED
from storage.database import Database
from storage.events.relabels import class_now, pairs_after, relabels_of
from storage.rows import MASKS

CLOSED = '{"closed": true}'  # metrics of a round that ended with the app
# SQL: events on the two sides of a relabelling are not alike, even of one class
RELABELS_BEFORE = """(select count(*) from labels r where r.kind = 'relabel' and r.live
                      and r.image_id = labels_said.image_id and r.id < labels_said.id)"""

EFFORT = f"""
select count(distinct iif({MASKS}, image_id * 4000000000 + axis * 1000000000 + slice, null)) as slices,
       coalesce(sum(seconds), 0) as seconds
from labels where live and kind != 'revoke'"""


@dataclass(frozen=True)
class RoundRow:
    id: int
    learner: str
    kind: str  # "train" or "predict"
    seen_label: int
    status: str  # running, done, failed, lost
    model_round: int | None
    dice: float | None
    child_dice: float | None
    parent_dice: float | None
    metrics: dict[str, Any]
    error: str | None
    labelled_slices: int
    annotator_seconds: float
    started_at: str
    finished_at: str | None
    core: int | None = None  # the set of held-out images that judged it


@dataclass(frozen=True)
class Finished:
    """What a round that ended well leaves behind."""

    model_round: int
    dice: float | None
    child_dice: float | None
    parent_dice: float | None
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Correction:
    """What a proposal was worth where people spoke after it."""

    image_id: int
    producer: str
    seen_label: int
    claimed: float | None
    dice: float
    whole_dice: float | None = None  # on slices that people spoke about wholly: what calibrates


@dataclass(frozen=True)
class Corrected:
    """A correction and how far the project was when it was noted."""

    image_id: int
    dice: float
    created_at: str
    labelled_slices: int | None  # null where the round that noted it never began
    annotator_seconds: float | None


class Rounds:
    """Thread-safe. A round that was running when the project was closed is lost, and its files go."""

    def __init__(self, directory: Path, db: Database) -> None:
        self.directory, self._db = directory, db

    def sweep(self) -> None:
        """For the owner, when the project is opened; who only looks leaves it all."""
        if self._db.looking:
            return
        self.directory.mkdir(exist_ok=True)
        reason = "the app was closed or stopped while it ran; it starts again by itself"
        with self._db.transaction() as tables:
            sql = f"""update rounds set status = 'lost', error = ?, finished_at = current_timestamp,
                      metrics = '{CLOSED}' where status = 'running'"""
            tables.execute(sql, [reason])
        self.tidy()

    def start(self, learner: str, seen_label: int, kind: str = "train", core: int | None = None) -> RoundRow:
        """A new running round with its directory. `seen_label`: the clock, read before the labels were."""
        with self._db.transaction() as tables:
            labelled, seconds = tables.execute(EFFORT).fetchone()
            row = {
                "learner": learner,
                "kind": kind,
                "seen_label": seen_label,
                "status": "running",
                "core": core,
            }
            counts = {"labelled_slices": labelled, "annotator_seconds": seconds}
            round_id = int(tables.table("rounds").insert({**row, **counts}).last_pk or 0)
        self.folder(round_id).mkdir(parents=True, exist_ok=True)
        return self.get(round_id)

    def finish(self, round_id: int, result: Finished) -> None:
        self._end(
            round_id,
            status="done",
            model_round=result.model_round,
            dice=result.dice,
            child_dice=result.child_dice,
            parent_dice=result.parent_dice,
            metrics=json.dumps(result.metrics),
        )

    def fail(self, round_id: int, error: str) -> None:
        self._end(round_id, status="failed", error=error)

    def lose(self, round_id: int, error: str) -> None:
        self._end(round_id, status="lost", error=error)

    def get(self, round_id: int) -> RoundRow:
        rows = self._db.rows("select * from rounds where id = ?", [round_id])
        if not rows:
            raise LookupError(f"there is no round {round_id} in this project")
        return _round(rows[0])

    def newest(self, learner: str, status: str | None = None) -> RoundRow | None:
        sql = "select * from rounds where learner = ?1 and ?2 in (status, '') order by id desc limit 1"
        rows = self._db.rows(sql, [learner, status or ""])
        return _round(rows[0]) if rows else None

    def newest_done(self) -> int:
        """Of all learners; 0 before the first."""
        return self._db.number("select coalesce(max(id), 0) from rounds where status = 'done'")

    def of(self, learner: str, limit: int = 1000) -> list[RoundRow]:
        """The newest rounds of a learner, oldest first."""
        sql = "select * from rounds where learner = ? order by id desc limit ?"
        return [_round(row) for row in reversed(self._db.rows(sql, [learner, limit]))]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many rounds of each learner are in each status."""
        sql = "select learner, status, count(*) as rounds from rounds group by learner, status"
        return {(row["learner"], row["status"]): row["rounds"] for row in self._db.rows(sql)}

    def tries(self, learner: str, seen_label: int) -> int:
        """How often a round on these labels was lost to a dead worker since the last one that ended. That the app was
        closed meanwhile says nothing about the round."""
        sql = f"""select count(*) from rounds where learner = ?1 and seen_label = ?2 and status = 'lost'
                 and metrics != '{CLOSED}'
                 and id > (select coalesce(max(id), 0) from rounds
                           where learner = ?1 and status in ('done', 'failed'))"""
        return self._db.number(sql, [learner, seen_label])

    def model(self, learner: str) -> Path | None:
        """The directory of the model that people see now."""
        row = self.newest(learner, "done")
        return self.folder(row.model_round) if row and row.model_round else None

    def worse(self, learner: str) -> list[int]:
        """The rounds that trained since the one whose model people see, oldest first: all came out worse."""
        row = self.newest(learner, "done")
        sql = "select id from rounds where learner = ? and status = 'done' and kind = 'train' and id > ? order by id"
        kept = (row.model_round if row else None) or 0
        return [each["id"] for each in self._db.rows(sql, [learner, kept])] if kept else []

    def any_model(self) -> Path | None:
        """The newest model of any learner: what a learner without one of its own starts from."""
        sql = "select model_round from rounds where status = 'done' order by id desc limit 1"
        model_round = self._db.value(sql)
        return self.folder(model_round) if model_round else None

    def folder(self, round_id: int) -> Path:
        return self.directory / str(round_id)

    def trained_seconds(self, learner: str, seen_label: int) -> float:
        """How long a learner has trained on just these labels."""
        sql = """select coalesce(sum(json_extract(metrics, '$.seconds')), 0) from rounds
                 where learner = ? and seen_label = ? and status = 'done' and kind = 'train'"""
        return float(self._db.value(sql, [learner, seen_label]))

    def unpredicted(self, producer: str, seen_label: int) -> list[int]:
        """Images whose newest proposal of this producer is older than these labels: none at all first."""
        sql = """select i.id from images i
                 left join predictions p on p.image_id = i.id and p.producer = ?1
                 where i.bin is null and (p.seen_label is null or p.seen_label < ?2)
                 order by coalesce(p.seen_label, -1), i.id"""
        return [row["id"] for row in self._db.rows(sql, [producer, seen_label])]

    def labelled_slices(self) -> int:
        return int(self._db.rows(EFFORT)[0]["slices"])

    # held out

    def held_out(self) -> set[tuple[int, int, int]]:
        """(image, axis, slice); axis and slice -1 for a whole image."""
        rows = self._db.rows(
            "select image_id, axis, slice from held_out where image_id in (select id from images where bin is null)"
        )
        return {(r["image_id"], r["axis"], r["slice"]) for r in rows}

    def hold_out(self, image_id: int, axis: int = -1, index: int = -1) -> None:
        with self._db.transaction() as tables:
            sql = """insert or ignore into held_out (image_id, axis, slice, label_id)
                     values (?, ?, ?, (select coalesce(max(id), 0) from labels))"""
            tables.execute(sql, [image_id, axis, index])

    def first_use(self) -> dict[int, int]:
        """Class -> the id of the first live label that said it, by drawing or by a tight box."""
        sql = f"""select class, image_id, min(id) as first from (
                     select json_each.value as class, labels.image_id, labels.id
                     from labels, json_each(labels.classes) where kind = 'patch' and live
                     union all select json_extract(prompts, '$.box_of'), image_id, id from labels
                     where kind = 'patch' and live and json_type(prompts, '$.box_of') = 'integer'
                 ) labels_said group by class, image_id, {RELABELS_BEFORE} order by first"""
        relabels = relabels_of(self._db)
        found: dict[int, int] = {}
        for row in self._db.rows(sql):
            pairs = pairs_after(relabels.get(row["image_id"], []), row["first"])
            found.setdefault(class_now(int(row["class"]), pairs), row["first"])
        found.pop(UNLABELLED, None)
        return found

    def background_places(self) -> dict[int, set[tuple[int, int]]]:
        """Image -> the (axis, slice) on which somebody said background, by painting it or by completing a slice."""
        sql = """select distinct image_id, axis, slice from labels where live and (kind = 'complete' or
                 (kind = 'patch' and exists (select 1 from json_each(labels.classes) where value = 0)))"""
        found: dict[int, set[tuple[int, int]]] = {}
        for row in self._db.rows(sql):
            found.setdefault(row["image_id"], set()).add((row["axis"], row["slice"]))
        return found

    def first_complete(self) -> int | None:
        """The id of the oldest live event that says a slice is complete."""
        first: int | None = self._db.value("select min(id) from labels where live and kind = 'complete'")
        return first

    def newest_seen(self) -> int:
        """The newest label that any round has trained on."""
        return self._db.number("select coalesce(max(seen_label), 0) from rounds where kind = 'train'")

    def labelled_images(self) -> dict[int, int]:
        """Image -> its clock, for every image with a live label. Tags neither count nor move it."""
        sql = f"""select image_id, max(id) as rev from labels where present is null group by image_id
                  having max(live and {MASKS})"""
        return {row["image_id"]: row["rev"] for row in self._db.rows(sql)}

    def first_labels(self) -> dict[int, int]:
        """Image -> the id of its first live event."""
        sql = f"select image_id, min(id) as first from labels where live and {MASKS} group by image_id"
        return {row["image_id"]: row["first"] for row in self._db.rows(sql)}

    def label_kinds(self) -> dict[str, int]:
        """How many live events say classes (patch), number an object (numbered), are a tight box (boxes), complete a
        slice (complete), are tags."""
        sql = """select coalesce(sum(kind = 'patch'), 0) as patch, coalesce(sum(kind = 'complete'), 0) as complete,
                 coalesce(sum(json_extract(prompts, '$.box_of') is not null), 0) as boxes,
                 coalesce(sum(kind = 'patch' and instance > 0), 0) as numbered,
                 coalesce(sum(kind = 'tag'), 0) as tags
                 from labels where live"""
        return dict(self._db.rows(sql)[0])

    # corrections

    def add_correction(self, new: Correction) -> None:
        with self._db.transaction() as tables:
            tables.table("corrections").insert(vars(new), ignore=True)

    def has_correction(self, image_id: int, producer: str, seen_label: int) -> bool:
        sql = "select 1 from corrections where image_id = ? and producer = ? and seen_label = ?"
        return self._db.value(sql, [image_id, producer, seen_label]) is not None

    def corrections(self, producer: str, limit: int = 60) -> list[Correction]:
        """The newest, oldest first."""
        sql = """select image_id, producer, seen_label, claimed, dice, whole_dice from corrections
                 where producer = ? order by id desc limit ?"""
        return [Correction(**row) for row in reversed(self._db.rows(sql, [producer, limit]))]

    def corrected(self, producer: str, limit: int = 2000) -> list[Corrected]:
        """All of them over the project's life, oldest first. They are noted just before a round starts, which counts
        labels and minutes."""
        sql = """select c.image_id, c.dice, c.created_at, r.labelled_slices, r.annotator_seconds
                 from corrections c left join rounds r on r.id = (
                     select min(id) from rounds where learner = c.producer and seen_label > c.seen_label)
                 where c.producer = ? order by c.id desc limit ?"""
        return [Corrected(**row) for row in reversed(self._db.rows(sql, [producer, limit]))]

    def tidy(self, in_use: Collection[Path] = ()) -> None:
        """Remove the directories of rounds that nobody needs: not running, not somebody's model, not a learner's last
        training nor its last round, which holds what was adapted, and not `in_use`, as the models that running rounds
        start from, which a learner that was quicker may have replaced meanwhile."""
        sql = """select model_round as id from rounds where id in
                 (select max(id) from rounds where status = 'done' group by learner)
                 union select max(id) from rounds where status = 'done' and kind = 'train' group by learner
                 union select max(id) from rounds where status = 'done' group by learner
                 union select id from rounds where status = 'running'"""
        needed = {str(row["id"]) for row in self._db.rows(sql)} | {path.name for path in in_use}
        for path in self.directory.iterdir():
            if path.is_dir() and path.name.isdigit() and path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def _end(self, round_id: int, **values: Any) -> None:
        with self._db.transaction() as tables:
            tables.table("rounds").update(round_id, values)
            tables.execute("update rounds set finished_at = current_timestamp where id = ?", [round_id])


def _round(row: dict[str, Any]) -> RoundRow:
    return RoundRow(**{**row, "metrics": json.loads(row["metrics"])})
