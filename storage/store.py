"""A project on disk: SQLite holds every fact, files hold arrays. A file is written once, then recorded."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray
from sqlite_utils import Database as Tables

from storage.arrays import Box, SliceRef, open_npy, write_npys, write_patches
from storage.bin import Bin, free_name
from storage.channels.rows import NAMED
from storage.class_use import images_naming, use_of
from storage.class_values import ClassValues
from storage.classes import ClassRows, clean_name
from storage.database import LOOKING, Database, full_disk_told
from storage.events.acts import Acts
from storage.events.answers import Answers
from storage.events.current_act import current_act
from storage.events.history import History
from storage.events.relabels import Pairs, classes_now, pairs_after, prompts_now, relabels_of
from storage.events.revoking import CLEARED, events_of, insert_revokes, revokers_of, sent_before
from storage.events.tool_notes import ToolNotes
from storage.image_sources import ImageSources, digest_of, find_image, insert_channels, insert_image
from storage.image_states import ImageStates
from storage.judging import Judging
from storage.lock import DIRECTORIES, ProjectLock, check_there, check_whole, sweep
from storage.predictions import Predictions
from storage.rounds import Rounds
from storage.rows import MASKS, ClassRow, ImageRow, LabelRow, NewLabel, image_of
from storage.safety.scratch import scratch_folder
from storage.safety.writable import check_room, unwritable_told
from storage.scan import Scan
from storage.scenes.rows import Scenes
from storage.tags import Tags


class Store:
    """Thread-safe. Labels are only appended; the id of the newest one is the clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.looking = root, ""
        self._scratch: TemporaryDirectory[str] | None = None
        check_whole(root)
        with unwritable_told(root):
            check_room(root)
            for name in DIRECTORIES:
                (root / name).mkdir(parents=True, exist_ok=True)
            self._lock: ProjectLock | None = ProjectLock(root)
            try:
                self._db = Database(root / "project.db")
                self._open_parts()
                self._sweep()
            except BaseException:
                self._lock.release()
                raise

    @classmethod
    def existing(cls, root: Path) -> "Store":
        """As Store(root), of a project that must be there already. Raises FileNotFoundError."""
        check_there(root)
        return cls(root)

    @classmethod
    def read_only(cls, root: Path, why: str = LOOKING) -> "Store":
        """For a look at a project that is perhaps open elsewhere; every write fails. `why` it is only looked at."""
        check_there(root)
        store = cls.__new__(cls)
        store.root, store.looking, store._lock, store._scratch = root, why, None, None
        store._db = Database(root / "project.db", read_only=True)
        store._open_parts()
        return store

    def _open_parts(self) -> None:
        """What has rows of its own and shares the connection."""
        self.predictions, self.tags = Predictions(self.root / "predictions", self._db), Tags(self._db)
        self.rounds, self.image_states = Rounds(self.root / "rounds", self._db), ImageStates(self._db)
        self.bin = Bin(self.root, self._db)
        self.answers, self.class_rows, self.acts = Answers(self._db), ClassRows(self._db), Acts(self._db)
        self.history = History(self._db)
        self.class_values, self.sources = ClassValues(self._db), ImageSources(self._db)
        self.judging, self.tool_notes = Judging(self._db), ToolNotes(self._db)
        self.scenes = Scenes(self._db)

    def note_address(self, address: str) -> None:
        """For whoever finds the project open: where its page is. Raises OSError."""
        if self._lock:
            self._lock.note_address(address)

    @property
    def workplace(self) -> Path:
        """Where files go that can be made again: the project's folder or, where it is only looked at, one elsewhere
        that is gone with this. Raises NoScratch."""
        if not self.looking:
            return self.root
        self._scratch = self._scratch or scratch_folder()
        return Path(self._scratch.name)

    def close(self) -> None:
        self._db.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        if self._lock:
            self._lock.release()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is there as a whole or not at all; durable when it ends. Raises StorageFull."""
        with self._db.transaction():
            yield

    # images

    def add_image(self, scan: Scan) -> int:
        """Pixels first, then the row; the id. Raises StorageFull, or ValueError where it is there already."""
        if known := self.find_image(scan):
            raise ValueError(f"{scan.name} is in the project already, as image {known}")
        return self.add_images({digest_of(scan): scan})[0]

    def add_images(self, scans: Mapping[str, Scan]) -> list[int]:
        """As `add_image`, of images by their digests that are not there: all or none, and one wait for the disk."""
        uids = {digest: uuid.uuid4().hex for digest in scans}
        named = {digest: [uuid.uuid4().hex for _ in scan.named] for digest, scan in scans.items()}
        pictures = [
            (self.root / "images" / f"{uids[digest]}.npy", scan.pixels) for digest, scan in scans.items()
        ]
        channels = [
            (self.root / "channels" / f"{uid}.npy", channel.values)
            for digest, scan in scans.items()
            for uid, channel in zip(named[digest], scan.named, strict=True)
        ]
        with full_disk_told():
            write_npys(pictures)
            if channels:
                write_npys(channels)
        with self._db.transaction([path for path, _ in (*pictures, *channels)]) as tables:
            ids = [insert_image(self._db, uids[digest], digest, scan) for digest, scan in scans.items()]
            for image_id, (digest, scan) in zip(ids, scans.items(), strict=True):
                insert_channels(tables, image_id, named[digest], scan.named)
        return ids

    def find_image(self, scan: Scan) -> int | None:
        """The id of the image with this source, name and these pixels, if it was imported before."""
        return find_image(self._db, scan)

    def images(self, offset: int = 0, limit: int = 100, search: str = "") -> tuple[int, list[ImageRow]]:
        """How many images match, and a page of them in the order in which they came."""
        pattern = "%" + search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        total = self._db.number(
            "select count(*) from images where bin is null and name like ? escape '\\'", [pattern]
        )
        sql = f"""select *, {NAMED} from images where bin is null and name like ? escape '\\'
                  order by id limit ? offset ?"""
        return total, [image_of(self.root, row) for row in self._db.rows(sql, [pattern, limit, offset])]

    def images_of(self, ids: Sequence[int]) -> list[ImageRow]:
        """These images, in this order; those that are not there are left out."""
        placeholders = ",".join("?" * len(ids))
        sql = f"select *, {NAMED} from images where bin is null and id in ({placeholders})"
        rows = {r["id"]: r for r in self._db.rows(sql, ids)}
        return [image_of(self.root, rows[image_id]) for image_id in ids if image_id in rows]

    def image(self, image_id: int) -> ImageRow:
        rows = self._db.rows(f"select *, {NAMED} from images where id = ?", [image_id])
        if rows and rows[0]["bin"] and not rows[0]["emptied"]:
            raise LookupError(f"{rows[0]['shown_name']!r} was deleted; bring it back from the bin first")
        if not rows or rows[0]["bin"]:
            raise LookupError(f"there is no image {image_id} in this project")
        return image_of(self.root, rows[0])

    def pixels(self, image_id: int) -> NDArray[Any]:
        """(Z, Y, X[, 3]) memory-mapped, read-only; raises TornFile where the file is damaged or gone."""
        return open_npy(self.image(image_id).path)

    def rename_image(self, image_id: int, name: str) -> None:
        """Raises ValueError where the name is taken or cannot be read."""
        name = clean_name(name)
        if free_name(self._db, name) != name and self.image(image_id).name != name:
            raise ValueError(f"there is an image {name!r} already; choose another name")
        with self._db.transaction() as tables:
            tables.table("images").update(image_id, {"name": name})

    # classes

    def classes(self) -> list[ClassRow]:
        return self.class_rows.all()

    def add_class(self, name: str, color: str | None = None) -> ClassRow:
        """A new class, or the removed one of that name again. Raises ValueError where the name is taken."""
        return self.class_rows.add(name, color)

    def remove_class(self, class_id: int) -> None:
        """Take a class off the list; refused while anything uses it, so that no mask loses its name."""
        name = self.class_rows.get(class_id).name
        use = use_of(self._db, self.images(limit=-1)[1], self.labels, class_id)
        if use is not None:
            raise ValueError(f"{use}; merge {name!r} into another class, or delete it with its labels")
        self.class_rows.remove(class_id)

    def relabel(self, before: int, after: int, *, author: str) -> set[int]:
        """From now on all that was one class is another (or, after UNLABELLED, is not said any more); the images that
        any event of it is on."""
        images = images_naming(self._db, before)
        with self._db.transaction() as tables:
            for image_id in sorted(images):
                row = {"client_id": uuid.uuid4().hex, "image_id": image_id, "kind": "relabel"}
                said = {"classes": json.dumps([before, after]), "source": "relabelled", "author": author}
                tables.table("labels").insert({**row, **said, "act": current_act.get()})
        return images

    # labels

    def add_label(self, new: NewLabel) -> LabelRow:
        """Durable when it returns. The same client id again gives the row that is there."""
        return self.add_labels([new])[0]

    def add_labels(self, new: Sequence[NewLabel]) -> list[LabelRow]:
        """Several events in one transaction: all of them or none. Files first, then rows."""
        uids = [uuid.uuid4().hex if label.patch is not None else None for label in new]
        patches = [(self._label_path(u), n.patch) for u, n in zip(uids, new, strict=True) if u and n.patch]
        with full_disk_told():
            write_patches(patches)
        with self._db.transaction([path for path, _ in patches]) as tables:
            ids = [self._insert_label(tables, uid, label) for uid, label in zip(uids, new, strict=True)]
        return [self._label(self._label_row(label_id)) for label_id in ids]

    def replace_labels(self, old: Sequence[LabelRow], new: Sequence[NewLabel], *, act: str) -> None:
        """Take live events back and add others in one transaction: both or neither. All of it is one act, `act`."""
        with self._db.transaction() as tables:
            self.add_labels(new)
            rows = [self._label_row(label.id) for label in old]
            insert_revokes(tables, rows, act, new[0].author, start=len(new))

    def revoke(self, target: str, *, client_id: str, author: str) -> list[LabelRow]:
        """Take an act of one's own back; answers with its events. The same client id again changes nothing."""
        with self._db.transaction() as tables:
            events = _own_events(tables, target, author)
            if not sent_before(tables, client_id):
                living = [event for event in events if event["live"]]
                if not living:
                    raise LookupError("that step is undone already")
                insert_revokes(tables, living, client_id, author)
        return [self._label(event) for event in events]

    def restore(self, target: str, *, client_id: str, author: str) -> list[LabelRow]:
        """Take the taking-back of an act back; answers with its events."""
        with self._db.transaction() as tables:
            events = _own_events(tables, target, author)
            if not sent_before(tables, client_id):
                revocations = revokers_of(tables, events)
                if not revocations:
                    raise LookupError("that step stands already; there is nothing to redo")
                insert_revokes(tables, revocations, client_id, author)
        return [self._label(event) for event in events]

    def reopen_slice(self, ref: SliceRef, *, client_id: str, author: str) -> None:
        """Take back that a slice is complete, whoever said so, and however many."""
        sql = """select * from labels where image_id = ? and axis = ? and slice = ?
                 and kind = 'complete' and live order by id"""
        with self._db.transaction() as tables:
            if not sent_before(tables, client_id):
                events = list(tables.query(sql, [ref.image_id, ref.axis, ref.index]))
                insert_revokes(tables, events, client_id, author)

    def clear(
        self, image_id: int, ref: SliceRef | None, *, seen: int, client_id: str, author: str
    ) -> list[LabelRow]:
        """Take back everything said of a slice (of the image where `ref` is None), whoever said so, but not what
        others said after event `seen`; answers with those events. Raises LookupError where there are none."""
        there = "" if ref is None else " and axis = :axis and slice = :index"
        sql = f"""select * from labels where image_id = :image and live and {MASKS}{there}
                  and (id <= :seen or author = :author) order by id"""
        place = {} if ref is None else {"axis": ref.axis, "index": ref.index}
        with self._db.transaction() as tables:
            about = {"image": image_id, "seen": seen, "author": author, **place}
            events = list(tables.query(sql, about))
            if not events:
                raise LookupError(
                    "no label was made here; what you see was said on slices that cross this one"
                )
            insert_revokes(tables, events, client_id, author, note=CLEARED)
        return self._labels(events)

    def find_label(self, client_id: str) -> int | None:
        """The id of the event with this client id, live or not."""
        found: int | None = self._db.value("select id from labels where client_id = ?", [client_id])
        return found

    def labels(self, image_id: int) -> list[LabelRow]:
        """The live events of an image that say something about its voxels, oldest first; tags are in `tags`."""
        sql = f"select * from labels where image_id = ? and live and {MASKS} order by id"
        return self._labels(self._db.rows(sql, [image_id]))

    def labels_since(self, image_id: int, rev: int, not_by: str) -> list[LabelRow]:
        """What others drew on an image after an event, oldest first."""
        sql = """select * from labels where image_id = ? and id > ? and author != ?
                 and live and kind = 'patch' order by id"""
        return self._labels(self._db.rows(sql, [image_id, rev, not_by]))

    def next_instance(self, image_id: int) -> int:
        """An object number that no label event on this image carries."""
        sql = "select coalesce(max(instance), 0) from labels where image_id = ?"
        return self._db.number(sql, [image_id]) + 1

    def instances(self, image_id: int) -> list[int]:
        """The highest object number of each of its events, taken back or not."""
        sql = "select distinct instance from labels where image_id = ?"
        return [row["instance"] for row in self._db.rows(sql, [image_id])]

    def newest_label(self, image_id: int | None = None, *, tags: bool = True) -> int:
        """The clock: of the project, or of one image. Revocations move it too. `tags=False`: of masks alone."""
        masks = "" if tags else " and present is null"
        if image_id is None:
            return self._db.number(f"select coalesce(max(id), 0) from labels where true{masks}")
        sql = f"select coalesce(max(id), 0) from labels where image_id = ?{masks}"
        return self._db.number(sql, [image_id])

    def taken_back_since(self, image_id: int, rev: int) -> bool:
        """Whether anything on an image was taken back, or that undone, after an event."""
        sql = "select count(*) from labels where image_id = ? and id > ? and kind = 'revoke'"
        return self._db.number(sql, [image_id, rev]) > 0

    def slice_states(self, image_id: int) -> list[tuple[int, int, str]]:
        """(axis, index, "labelled" or "complete") of every slice that somebody worked on."""
        sql = f"""select axis, slice, max(kind = 'complete') as complete from labels
                  where image_id = ? and live and {MASKS} group by axis, slice order by axis, slice"""
        rows = self._db.rows(sql, [image_id])
        return [(r["axis"], r["slice"], "complete" if r["complete"] else "labelled") for r in rows]

    def slice_counts(self, image_ids: Sequence[int]) -> dict[int, tuple[int, int, int]]:
        """Per image: slices labelled, slices complete, newest event. Images without events are left out."""
        placeholders = ",".join("?" * len(image_ids))
        place = "axis * 1000000 + slice"
        sql = f"""select image_id, max(id) as rev,
                  count(distinct iif(live and {MASKS}, {place}, null)) as labelled,
                  count(distinct iif(live and kind = 'complete', {place}, null)) as complete
                  from labels where image_id in ({placeholders}) group by image_id"""
        return {
            r["image_id"]: (r["labelled"], r["complete"], r["rev"]) for r in self._db.rows(sql, image_ids)
        }

    # settings

    def setting(self, key: str) -> str | None:
        value: str | None = self._db.value("select value from settings where key = ?", [key])
        return value

    def set_setting(self, key: str, value: str) -> None:
        with self._db.transaction() as tables:
            tables.table("settings").upsert({"key": key, "value": value}, pk="key")

    # helpers

    def _insert_label(self, tables: Tables, uid: str | None, new: NewLabel) -> int:
        old = next(tables.query("select id from labels where client_id = ?", [new.client_id]), None)
        if old:
            if uid:
                self._label_path(uid).unlink(missing_ok=True)
            return int(old["id"])
        box = new.patch.box if new.patch else None
        row = {
            "uid": uid,
            "client_id": new.client_id,
            "image_id": new.ref.image_id,
            "kind": new.kind,
            "axis": new.ref.axis,
            "slice": new.ref.index,
            **({"r0": box.r0, "c0": box.c0, "r1": box.r1, "c1": box.c1} if box else {}),
            "classes": json.dumps(new.classes),
            "source": new.source,
            "author": new.author,
            "seconds": new.seconds,
            "prompts": json.dumps(new.prompts),
            "instance": new.highest_instance,
            "act": current_act.get(),
        }
        return int(tables.table("labels").insert(row).last_pk or 0)

    def _label_row(self, label_id: int) -> dict[str, Any]:
        return self._db.rows("select * from labels where id = ?", [label_id])[0]

    def _labels(self, rows: Sequence[dict[str, Any]]) -> list[LabelRow]:
        """Events of one image in the classes of today."""
        relabels = relabels_of(self._db, [rows[0]["image_id"]]).get(rows[0]["image_id"], []) if rows else []
        return [self._label(row, pairs_after(relabels, row["id"])) for row in rows]

    def _label(self, row: dict[str, Any], relabelled: Pairs = ()) -> LabelRow:
        return LabelRow(
            id=row["id"],
            client_id=row["client_id"],
            image_id=row["image_id"],
            axis=row["axis"],
            index=row["slice"],
            kind=row["kind"],
            box=Box(row["r0"], row["c0"], row["r1"], row["c1"]) if row["kind"] == "patch" else None,
            source=row["source"],
            author=row["author"],
            seconds=row["seconds"],
            prompts=prompts_now(json.loads(row["prompts"]), relabelled),
            instance=row["instance"],
            created_at=row["created_at"],
            path=self._label_path(row["uid"]) if row["uid"] else None,
            classes=classes_now(json.loads(row["classes"]), relabelled),
            relabelled=relabelled,
        )

    def _label_path(self, uid: str) -> Path:
        return self.root / "labels" / f"{uid}.npz"

    def _sweep(self) -> None:
        for table in DIRECTORIES:
            sweep(self.root / table, {row["uid"] for row in self._db.rows(f"select uid from {table}")})
        self.predictions.sweep()


def _own_events(tables: Tables, client_id: str, author: str) -> list[dict[str, Any]]:
    """What an act of this person made of masks. Raises LookupError."""
    events = [
        event
        for event in events_of(tables, client_id, author)
        if event["present"] is None and event["act"] is None
    ]
    if not events:
        raise LookupError("there is no such step of yours; somebody else made it, or it never came here")
    return events
