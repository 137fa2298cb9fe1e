"""Images as rows: how they are known again, where they came from, what their files say about them anew."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database as Tables

from storage.bin import free_name
from storage.channels.named import Channel
from storage.channels.rows import told
from storage.database import Database
from storage.events.current_act import current_act
from storage.scan import Scan

NEWER = "n"  # before digests that hold those of the pixels; those of older versions read the pixels anew
HEADER = ("spacing_mm", "marks", "geometry")  # facts of an image that its file's header told


class ImageSources:
    """Thread-safe."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def names(self) -> dict[int, str]:
        """Image -> its name, of those in sight."""
        rows = self._db.rows("select id, name from images where bin is null order by id")
        return {row["id"]: row["name"] for row in rows}

    def images_from(self, source: str) -> list[int]:
        """The images that came from this path."""
        sql = "select id from images where source = ? and bin is null order by id"
        return [row["id"] for row in self._db.rows(sql, [source])]

    def all(self) -> frozenset[str]:
        """The paths of all images in sight."""
        rows = self._db.rows("select distinct source from images where source != '' and bin is null")
        return frozenset(row["source"] for row in rows)

    def files(self) -> dict[bytes, int]:
        """Fingerprint of a file -> the image that came of it and is in sight."""
        sql = "select fingerprint, image_id from image_files join images on images.id = image_id where bin is null"
        return {row["fingerprint"]: row["image_id"] for row in self._db.rows(sql)}

    def note_files(self, files: Mapping[bytes, int]) -> None:
        """From now on these files are known."""
        sql = "insert or replace into image_files (fingerprint, image_id) values (?, ?)"
        with self._db.transaction() as tables:
            for fingerprint, image_id in files.items():
                tables.execute(sql, [fingerprint, image_id])

    def note_pixels(self, digests: Mapping[int, str]) -> None:
        """What images of older versions are known by."""
        with self._db.transaction() as tables:
            for image_id, digest in digests.items():
                tables.execute("update images set pixels = ? where id = ?", [digest, image_id])

    def with_pixels(self, digest: str) -> list[int]:
        """The images in sight whose pixels are known by this digest."""
        sql = "select id from images where pixels = ? and bin is null order by id"
        return [row["id"] for row in self._db.rows(sql, [digest])]

    def copies(self) -> dict[int, tuple[str, ...]]:
        """Image -> the other files that were taken as it, by imports that are not undone."""
        sql = """select image_id, source from image_copies c left join acts a on a.id = c.act
                 where a.id is null or not a.undone order by image_id, source"""
        found: dict[int, tuple[str, ...]] = {}
        for row in self._db.rows(sql):
            found[row["image_id"]] = (*found.get(row["image_id"], ()), row["source"])
        return found

    def note_copies(self, copies: Mapping[str, int]) -> None:
        """From now on these paths name these images too, as a part of the act under way."""
        sql = "insert or replace into image_copies (image_id, source, act) values (?, ?, ?)"
        with self._db.transaction() as tables:
            for source, image_id in copies.items():
                tables.execute(sql, [image_id, source, current_act.get()])

    def forget_copy(self, source: str) -> None:
        """The file at this path is an image of its own now."""
        with self._db.transaction() as tables:
            tables.execute("delete from image_copies where source = ?", [source])

    def pass_on(self, before: int, now: int) -> None:
        """The files that were known as one image are another one now, and so are its marks."""
        with self._db.transaction() as tables:
            for table in ("image_files", "image_copies", "image_marks"):
                tables.execute(f"update or ignore {table} set image_id = ? where image_id = ?", [now, before])

    def take_header(self, image_id: int, scan: Scan) -> None:
        """What a header says about the same pixels in the same order: spacing, marks and geometry."""
        new = {"spacing_mm": scan.spacing_mm, "marks": scan.marks, "geometry": scan.geometry}
        with self._db.transaction() as tables:
            _note_in_act(tables, image_id, {"before": self.header(image_id), "after": new})
            self.replace_header(image_id, new)

    def header(self, image_id: int) -> dict[str, Any]:
        """Spacing, marks and geometry as they are kept."""
        facts = json.loads(self._db.value("select facts from images where id = ?", [image_id]))
        return {key: facts[key] for key in HEADER}

    def replace_header(self, image_id: int, header: Mapping[str, Any]) -> None:
        """`header`: as it was given here; the pixels stay."""
        facts = json.loads(self._db.value("select facts from images where id = ?", [image_id]))
        new = {key: header[key] for key in HEADER}
        with self._db.transaction() as tables:
            tables.table("images").update(image_id, {"facts": json.dumps(facts | new)})


def _note_in_act(tables: Tables, image_id: int, header: dict[str, Any]) -> None:
    """So that the import that took a header can be undone as a whole."""
    act_id = current_act.get()
    if act_id is None:
        return
    act = next(tables.query("select facts from acts where id = ?", [act_id]))
    facts = json.loads(act["facts"])
    facts.setdefault("headers", {})[str(image_id)] = header
    tables.table("acts").update(act_id, {"facts": json.dumps(facts)})


def insert_image(db: Database, uid: str, digest: str, scan: Scan) -> int:
    """Inside the caller's transaction, after the file of its pixels; the id."""
    name = free_name(db, scan.name)
    row = {"uid": uid, "digest": digest, "act": current_act.get(), "name": name, **_image_row(scan)}
    sql = f"insert into images ({', '.join(row)}) values ({', '.join('?' * len(row))}) returning id"
    return db.number(sql, list(row.values()))


def insert_channels(tables: Tables, image_id: int, uids: Sequence[str], channels: Sequence[Channel]) -> None:
    """Inside the caller's transaction, after the files."""
    for number, (uid, channel) in enumerate(zip(uids, channels, strict=True)):
        look, values = channel.look, channel.values
        facts = {
            "color": look.color,
            "window": look.window,
            "gamma": look.gamma,
            "shown": look.shown,
            "value_range": (float(values.min()), float(values.max())),
            "digest": channel.digest,
        }
        row = {"uid": uid, "image_id": image_id, "number": number, "name": channel.name}
        tables.table("channels").insert({**row, "dtype": str(values.dtype), "facts": json.dumps(facts)})


def digest_of(scan: Scan) -> str:
    """A fingerprint of where an image came from, its name and its pixels, which are looked at once."""
    text = f"{scan.source}\0{scan.name}\0{scan.pixels_digest}"
    return NEWER + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def find_image(db: Database, scan: Scan) -> int | None:
    """The image in sight with this source, name and these pixels."""
    sql = "select id from images where digest = ? and bin is null"
    found: int | None = db.value(sql, [digest_of(scan)])
    if found is None and _is_older(db, scan):
        found = db.value(sql, [_older_digest(scan)])
    return found


def _is_older(db: Database, scan: Scan) -> bool:
    """Whether an older version noted an image of this source and size."""
    size = "z = ? and y = ? and x = ?"
    sql = f"select 1 from images where source = ? and {size} and digest not like '{NEWER}%' and bin is null"
    return db.value(sql, [scan.source, *scan.shape]) is not None


def _older_digest(scan: Scan) -> str:
    text = f"{scan.source}\0{scan.name}\0{scan.pixels.shape}"
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for part in scan.pixels:
        digest.update(part.tobytes())
    digest.update(told((channel.name, channel.digest) for channel in scan.named))
    return digest.hexdigest()


def _image_row(scan: Scan) -> dict[str, Any]:
    z, y, x = scan.shape
    facts = {
        "spacing_mm": scan.spacing_mm,
        "marks": scan.marks,
        "geometry": scan.geometry,
        "window": scan.window,
        "value_range": scan.value_range,
        "presets": scan.presets,
    }
    row = {"z": z, "y": y, "x": x, "channels": scan.channels, "dtype": str(scan.pixels.dtype)}
    row["pixels"] = scan.pixels_digest
    return {**row, "facts": json.dumps(facts), "modality": scan.modality, "source": scan.source}
