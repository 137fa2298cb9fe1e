"""What held-out images said of models: on which set of them a round was judged, and how good it was on each."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import Database

JudgedPlace = tuple[int, int, int]  # image, axis, slice


@dataclass(frozen=True)
class JudgedRow:
    """How good the model of a round is on one held-out image."""

    image_id: int
    dice: float
    claimed: float | None  # how sure it was of what it proposed there
    core: bool  # of the set that the round was judged by


@dataclass(frozen=True)
class CoreRow:
    """A set of held-out images, by the labels they had then."""

    id: int
    clock: int  # newer labels do not judge
    places: frozenset[JudgedPlace]  # slices that judge
    digest: str  # of the labels that they judge by

    def slices_of(self, image_id: int) -> list[tuple[int, int]]:
        """The (axis, index) that judge on an image."""
        return [(axis, index) for image, axis, index in sorted(self.places) if image == image_id]


class Judging:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def core(self) -> CoreRow | None:
        """The set that judges today."""
        rows = self._db.rows("select id, clock, places, digest from cores order by id desc limit 1")
        if not rows:
            return None
        places = frozenset((image, axis, index) for image, axis, index in json.loads(rows[0]["places"]))
        return CoreRow(rows[0]["id"], rows[0]["clock"], places, rows[0]["digest"])

    def add_core(self, clock: int, places: Collection[JudgedPlace], digest: str) -> CoreRow:
        """From now on these judge, by labels up to this clock."""
        row = {"clock": clock, "places": json.dumps(sorted(places)), "digest": digest}
        with self._db.transaction() as tables:
            tables.table("cores").insert(row)
        core = self.core()
        assert core is not None
        return core

    def add_judged(self, round_id: int, rows: Sequence[JudgedRow]) -> None:
        """Saying it twice changes nothing."""
        with self._db.transaction() as tables:
            for row in rows:
                tables.table("judged").insert({"round_id": round_id, **vars(row)}, ignore=True)

    def core_sizes(self) -> dict[int, int]:
        """Every set there was -> how many slices judged in it."""
        rows = self._db.rows("select id, json_array_length(places) as slices from cores")
        return {row["id"]: row["slices"] for row in rows}

    def judged_on(self, core: int, learner: str) -> dict[int, float]:
        """Image -> Dice of the learner's newest model that this set judged."""
        sql = """select max(id) from rounds where core = ? and learner = ? and status = 'done'"""
        newest = self._db.value(sql, [core, learner])
        return {} if newest is None else {row.image_id: row.dice for row in self.of_round(newest) if row.core}

    def of_round(self, round_id: int) -> list[JudgedRow]:
        sql = "select image_id, dice, claimed, core from judged where round_id = ? order by image_id"
        return [_judged(row) for row in self._db.rows(sql, [round_id])]

    def judged(self, learner: str) -> list[JudgedRow]:
        """By the newest round of a learner that judged its model, also one that still runs."""
        sql = """select max(j.round_id) from judged j join rounds r on r.id = j.round_id
                 where r.learner = ? and r.status in ('running', 'done')"""
        newest = self._db.value(sql, [learner])
        return [] if newest is None else self.of_round(newest)


def _judged(row: dict[str, Any]) -> JudgedRow:
    return JudgedRow(**{**row, "core": bool(row["core"])})
