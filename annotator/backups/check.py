"""Every file of a project against its row. What can be made again is marked to be, what a snapshot still has comes
back from there, and the rest is said in sentences."""

import hashlib
import json
import shutil
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from annotator.backups.snapshots import FOLDER
from annotator.jobs import Job
from learners.training.bounded import read_json
from storage.arrays import Box, TornFile, open_npy, read_patch
from storage.channels.named import values_digest
from storage.channels.rows import NAMED, ChannelRow, rows_of, told
from storage.database import Database
from storage.lock import DIRECTORIES, check_there
from storage.safety.own_files import DATABASE
from storage.scan import pixels_digest


@dataclass
class Findings:
    """What was found, in sentences. `damaged`: what nothing here brings back."""

    files: int = 0
    mended: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(root: Path, job: Job, *, mend: bool) -> Findings:
    """Raises DamagedDatabase where the database cannot be read at all. `mend`: the caller owns the project."""
    check_there(root)
    database = Database(root / DATABASE, read_only=not mend)
    try:
        return _Check(root, database, job, mend).run()
    finally:
        database.close()


class _Check:
    def __init__(self, root: Path, database: Database, job: Job, mend: bool) -> None:
        self._root, self._db, self._job, self._mend = root, database, job, mend
        self._found, self._names = Findings(), _old_names(database)

    def run(self) -> Findings:
        self._database()
        images = self._db.rows(f"select *, {NAMED} from images where not emptied order by id")
        labels = self._db.rows(
            """select labels.*, coalesce(images.shown_name, images.name) as image from labels
               join images on images.id = image_id where labels.uid is not null order by labels.id"""
        )
        total = len(images) + len(labels)
        for number, row in enumerate([*images, *labels]):
            self._job.check()
            self._job.report("checking", number, total, "")
            self._image(row) if number < len(images) else self._label(row)
        self._found.files = total
        self._proposals({row["id"]: row for row in images})
        self._models()
        self._strays()
        return self._found

    def _database(self) -> None:
        answers = [str(*row.values()) for row in self._db.rows("pragma integrity_check")]
        self._found.damaged += [f"the database says: {line}" for line in answers if line != "ok"]
        for row in self._db.rows("pragma foreign_key_check"):
            self._found.damaged.append(
                f"a row of {row['table']} names one of {row['parent']} that is not there"
            )

    def _image(self, row: dict[str, Any]) -> None:
        path, name = self._root / "images" / f"{row['uid']}.npy", row["shown_name"] or row["name"]
        for channel in rows_of(row["named"], self._root / "channels"):
            self._channel(row, channel, f"the channel {channel.name} of {name!r}")
        names = {*_names(name), *self._names.get(row["id"], ())}
        reason = _image_fault(path, row, names)
        if reason and not self._brought_back(path, lambda copy: not _image_fault(copy, row, names)):
            self._found.damaged.append(f"the pixels of {name!r} are {reason}; import this image again")
        elif reason:
            self._found.mended.append(f"the pixels of {name!r} were {reason}; a snapshot had them")

    def _channel(self, row: dict[str, Any], channel: ChannelRow, told: str) -> None:
        reason = _channel_fault(channel.path, row, channel)
        if reason and not self._brought_back(
            channel.path, lambda copy: not _channel_fault(copy, row, channel)
        ):
            self._found.damaged.append(f"{told} is {reason}; import this image again")
        elif reason:
            self._found.mended.append(f"{told} was {reason}; a snapshot had it")

    def _label(self, row: dict[str, Any]) -> None:
        path, box = (
            self._root / "labels" / f"{row['uid']}.npz",
            Box(row["r0"], row["c0"], row["r1"], row["c1"]),
        )
        if not (reason := _label_fault(path, box)):
            return
        place = f"a label of {row['author']} on {row['image']!r}, slice {row['slice'] + 1} along {'zyx'[row['axis']]}"
        if self._brought_back(path, lambda copy: not _label_fault(copy, box)):
            self._found.mended.append(f"{place} was {reason}; a snapshot had it")
        else:
            self._found.damaged.append(f"{place} is {reason}; draw it again, or restore a backup that has it")

    def _brought_back(self, path: Path, whole: Any) -> bool:
        """Whether a snapshot has this file whole; it is put in its place where that is allowed."""
        copy = self._root / FOLDER / path.relative_to(self._root)
        if not copy.exists() or (path.exists() and path.samefile(copy)) or not whole(copy):
            return False
        if self._mend:
            fresh = path.with_name(f"{path.name}.tmp")
            shutil.copyfile(copy, fresh)
            fresh.replace(path)
        return True

    def _proposals(self, images: dict[int, dict[str, Any]]) -> None:
        for row in self._db.rows("select * from predictions order by id"):
            image = images.get(row["image_id"])
            folder, uid = self._root / "predictions", row["uid"]
            paths = [folder / f"{uid}.{kind}.npy" for kind in ("classes", "confidence")]
            paths += folder.glob(f"{uid}.objects.npy")  # of producers that tell objects apart
            if image is None or all(_shape(path) == (image["z"], image["y"], image["x"]) for path in paths):
                continue
            self._found.mended.append(
                f"the proposal of {row['producer']} for {image['name']!r} is damaged or missing; it is made again"
            )
            if self._mend:
                with self._db.transaction() as tables:
                    tables.execute("delete from predictions where id = ?", [row["id"]])

    def _models(self) -> None:
        """The newest model of each learner; older ones are gone by design."""
        sql = """select id, learner, model_round from rounds where id in
                 (select max(id) from rounds where status = 'done' group by learner)"""
        for row in self._db.rows(sql):
            folder = self._root / "rounds" / str(row["model_round"])
            if row["model_round"] is None or not _model_fault(folder):
                continue
            self._found.mended.append(f"the model of {row['learner']} is damaged or missing; it trains anew")
            if self._mend:
                with self._db.transaction() as tables:
                    why = "its model was damaged or missing, so it trains anew"
                    sql = "update rounds set status = 'lost', error = ? where learner = ? and status = 'done'"
                    tables.execute(sql, [why, row["learner"]])

    def _strays(self) -> None:
        for table in DIRECTORIES:
            known = {row["uid"] for row in self._db.rows(f"select uid from {table} where uid is not null")}
            folder = self._root / table  # projects of older versions have fewer
            there = folder.iterdir() if folder.is_dir() else ()
            strays = [path for path in there if path.stem not in known]
            if strays:
                self._found.notes.append(
                    f"{len(strays)} files in {table} belong to no row; the next start puts them into set-aside"
                )


def _old_names(database: Database) -> dict[int, list[str]]:
    """Names that images had before people gave them others."""
    names: dict[int, list[str]] = {}
    for row in database.rows("select facts from acts where kind = 'rename-image'"):
        facts = json.loads(row["facts"])
        names.setdefault(facts["image"], []).extend([facts["before"], *_names(facts["before"])])
    return names


def _image_fault(path: Path, row: dict[str, Any], names: Collection[str]) -> str:
    """What is wrong with the pixels, "" where nothing is. An older digest knows the name under which they came."""
    if not path.is_file():
        return "missing"
    try:
        pixels = open_npy(path)
    except TornFile:
        return "damaged"
    shape = (row["z"], row["y"], row["x"], *([row["channels"]] if row["channels"] > 1 else []))
    if pixels.shape != shape or str(pixels.dtype) != row["dtype"]:
        return "of another size or type"
    if noted := row.get("pixels"):
        return "" if noted == pixels_digest(pixels, _channels_of(row)) else "changed"
    return "" if row["digest"] in _digests(pixels, row, names) else "changed"


def _channel_fault(path: Path, row: dict[str, Any], channel: ChannelRow) -> str:
    """What is wrong with its values, "" where nothing is."""
    if not path.is_file():
        return "missing"
    try:
        values = open_npy(path)
    except TornFile:
        return "damaged"
    if values.shape != (row["z"], row["y"], row["x"]) or str(values.dtype) != channel.dtype:
        return "of another size or type"
    return "" if values_digest(values) == channel.digest else "changed"


def _channels_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(channel.name, channel.digest) for channel in rows_of(row["named"], Path())]


def _digests(pixels: NDArray[Any], row: dict[str, Any], names: Collection[str]) -> set[str]:
    """As older versions made them, for each of the names."""
    starts = [f"{row['source']}\0{name}\0{pixels.shape}".encode() for name in names]
    digests = [hashlib.blake2b(text, digest_size=16) for text in starts]
    for data in (*(part.tobytes() for part in pixels), told(_channels_of(row))):
        for digest in digests:
            digest.update(data)
    return {digest.hexdigest() for digest in digests}


def _names(name: str) -> Iterator[str]:
    """Under which an image may have come: a number was added where another had its name."""
    yield name
    if name.endswith(")") and " (" in name:
        yield name.rpartition(" (")[0]


def _label_fault(path: Path, box: Box) -> str:
    if not path.is_file():
        return "missing"
    try:
        read_patch(path, box)
    except TornFile:
        return "damaged"
    return ""


def _shape(path: Path) -> tuple[int, ...] | None:
    try:
        return open_npy(path).shape
    except TornFile:
        return None


def _model_fault(folder: Path) -> bool:
    """Whether a model's folder is missing, or a file in it is cut short or unreadable."""
    try:
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
        for path in files:
            read_json(path) if path.suffix == ".json" else _check_weights(path)
        return not files
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return True


def _check_weights(path: Path) -> None:
    """Raises ValueError where the file has not the length that its head says."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise ValueError("cut short")
        head = json.loads(file.read(length))
    ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
    if path.stat().st_size != 8 + length + max(ends, default=0):
        raise ValueError("cut short")
