"""Pseudo-labels on disk: class and confidence of every voxel of an image, files first and then the row."""

import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays import open_npy, write_npy
from storage.database import Database, full_disk_told

MADE_OF = ("classes", "confidence", "objects", "parents")


@dataclass(frozen=True)
class Expected:
    """The Dice that a proposal will turn out to have, as far as people's labels tell."""

    dice: float
    low: float  # between these two it lies mostly
    high: float

    @property
    def shown(self) -> list[float]:
        """From where to where, as people see it."""
        return [round(self.low, 2), round(self.high, 2)]


@dataclass(frozen=True)
class PredictionRow:
    """What one producer proposes for one image. The arrays are (Z, Y, X) uint8."""

    id: int
    image_id: int
    producer: str
    kind: str  # "propagated" or "predicted"
    round_id: int | None
    seen_label: int
    expected: Expected | None  # null: nothing calibrates the producer here
    created_at: str
    classes_path: Path  # 0 background, 1..253 classes, 255 where it proposes nothing
    confidence_path: Path  # 0 a guess .. 255 certain
    prior: str | None = None  # the producer whose proposal a fill started from
    claimed: float | None = None  # how sure the producer is of it; says something only once calibrated
    objects_path: Path | None = None  # uint16 object numbers; None where the producer tells no objects apart
    parents_path: Path | None = None  # (N, 2) uint16 of numbers and their parents'; of films alone

    @property
    def uncorrected(self) -> tuple[Path, Path]:
        """Classes and confidence as the producer made them, before people's labels were laid over them."""
        classes, confidence = (_before(path) for path in (self.classes_path, self.confidence_path))
        return (classes, confidence) if classes.exists() else (self.classes_path, self.confidence_path)

    def classes(self) -> NDArray[np.uint8]:
        """Memory-mapped and read-only; raises TornFile."""
        return open_npy(self.classes_path)

    def confidence(self) -> NDArray[np.uint8]:
        """Memory-mapped and read-only; raises TornFile."""
        return open_npy(self.confidence_path)

    def objects(self) -> NDArray[np.uint16] | None:
        """(Z, Y, X) numbers of the proposed objects, 0 where there is none; memory-mapped. Raises TornFile. They are
        the producer's own: labels that were laid over its classes did not change them."""
        return None if self.objects_path is None else open_npy(self.objects_path)

    def parents(self) -> dict[int, int]:
        """Number -> the object that it came from by a division."""
        pairs = [] if self.parents_path is None else open_npy(self.parents_path).tolist()
        return {int(number): int(parent) for number, parent in pairs}


@dataclass(frozen=True)
class NewPrediction:
    """`classes` and `confidence`: arrays, or .npy files that a worker wrote into `Predictions.directory`."""

    image_id: int
    producer: str
    kind: str
    seen_label: int
    classes: NDArray[np.uint8] | Path
    confidence: NDArray[np.uint8] | Path
    round_id: int | None = None
    expected: Expected | None = None
    prior: str | None = None
    claimed: float | None = None
    objects: NDArray[np.uint16] | Path | None = None
    parents: Path | None = None  # of objects that came from a division


@dataclass(frozen=True)
class Withheld:
    """What a learner made of an image and nobody is shown, and why: a word of `learners.prediction.sensible`."""

    image_id: int
    producer: str
    seen_label: int
    reason: str
    round_id: int | None = None


class Predictions:
    """Thread-safe. Only the newest of each producer and image is kept. What is withheld is no proposal: it has a row,
    so that it is not predicted again and again, and no files; no answer but `withheld` tells of it."""

    def __init__(self, directory: Path, db: Database) -> None:
        self.directory, self._db = directory, db

    def add(self, new: NewPrediction) -> PredictionRow:
        """Durable when it returns; the older one of this producer goes. Raises StorageFull."""
        uid = uuid.uuid4().hex
        with full_disk_told():
            for name in ("classes", "confidence"):
                _put(getattr(new, name), self._path(uid, name))
            if new.objects is not None:
                _put(new.objects, self._path(uid, "objects"))
            if new.parents is not None:
                _put(new.parents, self._path(uid, "parents"))
        row = {
            "uid": uid,
            "image_id": new.image_id,
            "producer": new.producer,
            "kind": new.kind,
            "round_id": new.round_id,
            "seen_label": new.seen_label,
            "claimed": new.claimed,
            **_columns(new.expected),
            "prior": new.prior,
        }
        files = (self._path(uid, name) for name in MADE_OF)
        self._replace(row, [path for path in files if path.exists()])
        newest = self.newest(new.image_id, new.producer)
        assert newest is not None
        return newest

    def withhold(self, new: Withheld) -> None:
        """Nothing is proposed for this image by this producer. Durable when it returns."""
        told = {**vars(new), "withheld": new.reason, "kind": "predicted", "uid": uuid.uuid4().hex}
        self._replace({name: value for name, value in told.items() if name != "reason"}, [])

    def withheld(self, image_id: int) -> Withheld | None:
        """The newest that was withheld for an image; None where something is proposed."""
        sql = "select * from predictions where image_id = ? order by withheld is null desc, id desc limit 1"
        rows = self._db.rows(sql, [image_id])
        if not rows or rows[0]["withheld"] is None:
            return None
        row = rows[0]
        return Withheld(image_id, row["producer"], row["seen_label"], row["withheld"], row["round_id"])

    def _replace(self, row: dict[str, Any], files: list[Path]) -> None:
        """In place of what this producer made of the image before, whose files go. `files`: of the new one."""
        with self._db.transaction(files) as tables:
            sql = "select * from predictions where image_id = ? and producer = ?"
            old = list(tables.query(sql, [row["image_id"], row["producer"]]))
            tables.table("predictions").insert(row)
            for each in old:
                tables.execute("delete from predictions where id = ?", [each["id"]])
        for each in old:
            self._remove_files(each["uid"])

    def correct(self, row: PredictionRow, classes: Path, confidence: Path) -> PredictionRow | None:
        """Put arrays that know people's labels in place of a row's, and keep those as `uncorrected`. None where the
        producer has made another proposal meanwhile. Durable when it returns. Raises StorageFull."""
        uid, kept = uuid.uuid4().hex, row.uncorrected
        try:
            with full_disk_told():
                for source, name, was in zip(
                    (classes, confidence), ("classes", "confidence"), kept, strict=True
                ):
                    _put(source, self._path(uid, name))
                    link_or_copy(was, _before(self._path(uid, name)))
        except FileNotFoundError:
            self._remove_files(uid)
            return None
        return self._swapped(row, uid)

    def restore(self, row: PredictionRow) -> PredictionRow | None:
        """The proposal as its producer made it: no label speaks about it any more."""
        if row.uncorrected[0] == row.classes_path:
            return row
        uid = uuid.uuid4().hex
        for name, was in zip(("classes", "confidence"), row.uncorrected, strict=True):
            link_or_copy(was, self._path(uid, name))
        return self._swapped(row, uid)

    def _swapped(self, row: PredictionRow, uid: str) -> PredictionRow | None:
        """The same row with other files, as the newest; its objects stay its own."""
        if row.objects_path is not None:
            link_or_copy(row.objects_path, self._path(uid, "objects"))
        with self._db.transaction() as tables:
            found = list(tables.query("select * from predictions where id = ?", [row.id]))
            if found:
                tables.execute("delete from predictions where id = ?", [row.id])
                kept = {name: value for name, value in found[0].items() if name != "id"}
                tables.table("predictions").insert({**kept, "uid": uid})
        self._remove_files(found[0]["uid"] if found else uid)
        return self.newest(row.image_id, row.producer) if found else None

    def newest(self, image_id: int, producer: str | None = None) -> PredictionRow | None:
        """The newest proposal for an image, of one producer or of any."""
        rows = self.of(image_id)
        return next((row for row in reversed(rows) if producer in (None, row.producer)), None)

    def of(self, image_id: int) -> list[PredictionRow]:
        """Every producer's proposal for an image, oldest first."""
        return [
            self._row(r)
            for r in self._db.rows(
                "select * from predictions where image_id = ? and withheld is null order by id", [image_id]
            )
        ]

    def newest_of(self, image_ids: Sequence[int]) -> dict[int, PredictionRow]:
        """Per image its newest proposal; images without one are left out."""
        placeholders = ",".join("?" * len(image_ids))
        sql = f"select * from predictions where withheld is null and image_id in ({placeholders}) order by id"
        return {row["image_id"]: self._row(row) for row in self._db.rows(sql, image_ids)}

    def expected_of(self, producer: str) -> dict[int, float]:
        """Image -> the Dice that is expected of this producer's proposal, where something calibrates it."""
        sql = (
            "select image_id, expected_dice from predictions where producer = ? and expected_dice is not null"
        )
        return {row["image_id"]: row["expected_dice"] for row in self._db.rows(sql, [producer])}

    def remove(self, image_id: int, producer: str) -> None:
        """A proposal that no longer holds, such as a fill whose last label was taken back."""
        row = self.newest(image_id, producer)
        if row is None:
            return
        with self._db.transaction() as tables:
            tables.execute("delete from predictions where id = ?", [row.id])
        self._remove_files(row.classes_path.name.split(".")[0])

    def sweep(self) -> None:
        """After a crash: files that no row knows can be made again, so they go."""
        self.directory.mkdir(exist_ok=True)
        known = {row["uid"] for row in self._db.rows("select uid from predictions")}
        for path in self.directory.iterdir():
            if path.name.split(".")[0] not in known:
                path.unlink(missing_ok=True)

    def _row(self, row: dict[str, Any]) -> PredictionRow:
        return PredictionRow(
            id=row["id"],
            image_id=row["image_id"],
            producer=row["producer"],
            kind=row["kind"],
            round_id=row["round_id"],
            seen_label=row["seen_label"],
            expected=_expected(row),
            created_at=row["created_at"],
            classes_path=self._path(row["uid"], "classes"),
            confidence_path=self._path(row["uid"], "confidence"),
            prior=row["prior"],
            claimed=row["claimed"],
            objects_path=path if (path := self._path(row["uid"], "objects")).exists() else None,
            parents_path=path if (path := self._path(row["uid"], "parents")).exists() else None,
        )

    def _path(self, uid: str, name: str) -> Path:
        return self.directory / f"{uid}.{name}.npy"

    def _remove_files(self, uid: str) -> None:
        for name in MADE_OF:
            self._path(uid, name).unlink(missing_ok=True)
            _before(self._path(uid, name)).unlink(missing_ok=True)


def _columns(expected: Expected | None) -> dict[str, float | None]:
    if expected is None:
        return {"expected_dice": None, "expected_low": None, "expected_high": None}
    return {
        "expected_dice": expected.dice,
        "expected_low": expected.low,
        "expected_high": expected.high,
    }


def _expected(row: dict[str, Any]) -> Expected | None:
    if row["expected_dice"] is None:
        return None
    return Expected(row["expected_dice"], row["expected_low"], row["expected_high"])


def _before(path: Path) -> Path:
    """Where an array is kept as it was before labels corrected it."""
    uid, name, end = path.name.split(".")
    return path.with_name(f"{uid}.uncorrected-{name}.{end}")


def link_or_copy(source: Path, path: Path) -> None:
    """Another name for a file that never changes. Raises FileNotFoundError."""
    try:
        os.link(source, path)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(source, path)


def _put(source: NDArray[np.uint8] | NDArray[np.uint16] | Path, path: Path) -> None:
    if isinstance(source, Path):
        source.replace(path)
    else:
        write_npy(path, source)
