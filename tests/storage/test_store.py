"""A project on disk: what was acknowledged stays, what was half done goes."""

import gc
import hashlib
import os
import socket
import sqlite3
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import storage.arrays
from storage.arrays import SliceRef, TornFile, read_patch
from storage.database import ProjectUnwritable, StorageFull
from storage.lock import Owner, ProjectBusy, read_owner
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

ONES = np.ones((2, 3), np.uint8)


def test_an_image_comes_back_as_it_was_added(store):
    scan, _ = ball()
    image = store.image(store.add_image(scan))
    assert (image.shape, image.spacing_mm, image.marks, image.dtype) == (
        (9, 17, 23),
        (2, 1, 1),
        scan.marks,
        "uint8",
    )
    np.testing.assert_array_equal(store.pixels(image.id), scan.pixels)


def test_the_same_image_twice_is_said_and_another_of_that_name_gets_a_number(store):
    scan, _ = ball()
    image_id = store.add_image(scan)
    assert store.find_image(scan) == image_id
    with pytest.raises(ValueError, match="in the project already"):
        store.add_image(scan)
    other = store.add_image(ball(seed=1)[0])
    assert store.image(other).name == "ball (2)"


def test_an_image_of_an_older_version_is_known_again(store):
    scan, _ = ball()
    image_id = store.add_image(scan)
    told = f"{scan.source}\0{scan.name}\0{scan.pixels.shape}".encode() + scan.pixels.tobytes()
    older = hashlib.blake2b(told, digest_size=16).hexdigest()
    with store._db.transaction() as tables:
        tables.execute("update images set digest = ?, pixels = null", [older])
    assert store.find_image(scan) == image_id
    assert store.find_image(ball(seed=1)[0]) is None


def test_the_pixels_of_an_import_are_looked_at_once(store, monkeypatch):
    made = []
    digest = hashlib.blake2b
    monkeypatch.setattr(hashlib, "blake2b", lambda *a, **k: made.append(a) or digest(*a, **k))
    scan, _ = ball()
    store.add_image(scan)
    assert scan.pixels_digest == store.image(1).pixels
    assert len([told for (told, *_) in made if told.startswith(str(scan.pixels.dtype).encode())]) == 1


def test_images_are_found_by_a_part_of_their_name_taken_literally(store):
    for name in ("50%_a", "50xxa", "b"):
        store.add_image(replace(ball()[0], name=name))
    total, rows = store.images(search="0%_")
    assert (total, [row.name for row in rows]) == (1, ["50%_a"])
    assert store.images(offset=1, limit=1)[1][0].name == "50xxa"


def test_an_unknown_image_is_a_lookup_error(store):
    with pytest.raises(LookupError, match="no image 7"):
        store.image(7)


def test_a_label_is_there_after_reopening(tmp_path):
    store = Store(tmp_path)
    image_id = store.add_image(ball()[0])
    row = store.add_label(drawn(SliceRef(image_id, 1, 3), ONES, at=(2, 4)))
    store.close()
    again = Store(tmp_path)
    assert again.labels(image_id) == [row]
    assert again.newest_label() == row.id
    again.close()


def test_the_same_client_id_makes_one_event_and_one_file(store):
    image_id = store.add_image(ball()[0])
    new = drawn(SliceRef(image_id, 0, 0), ONES)
    assert store.add_label(new).id == store.add_label(new).id
    assert len(list((store.root / "labels").iterdir())) == 1


def test_several_labels_are_stored_all_or_none(store):
    image_id = store.add_image(ball()[0])
    good, bad = drawn(SliceRef(image_id, 0, 0), ONES), drawn(SliceRef(99, 0, 0), ONES)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_labels([good, bad])
    assert store.labels(image_id) == []


def test_undo_and_redo_walk_back_and_forth_and_move_the_clock(store):
    image_id = store.add_image(ball()[0])
    first = store.add_label(drawn(SliceRef(image_id, 0, 1), ONES))
    second = store.add_label(drawn(SliceRef(image_id, 2, 1), ONES))
    store.revoke(second.client_id, client_id="u1", author="ann")
    store.revoke(first.client_id, client_id="u2", author="ann")
    undo, redo = store.history.of("ann")
    assert (undo, [e.client_id for e in redo]) == ([], [second.client_id, first.client_id])
    assert store.newest_label(image_id) == second.id + 2
    store.restore(first.client_id, client_id="r1", author="ann")
    undo, redo = store.history.of("ann")
    assert ([e.client_id for e in undo], [e.client_id for e in redo]) == (
        [first.client_id],
        [second.client_id],
    )
    store.revoke(first.client_id, client_id="u3", author="ann")
    assert store.labels(image_id) == []


def test_a_new_label_ends_what_can_be_redone(store):
    image_id = store.add_image(ball()[0])
    first = store.add_label(drawn(SliceRef(image_id, 0, 1), ONES))
    store.revoke(first.client_id, client_id="u1", author="ann")
    store.add_label(drawn(SliceRef(image_id, 0, 2), ONES))
    assert store.history.of("ann")[1] == []


def test_nobody_takes_back_what_somebody_else_drew(store):
    image_id = store.add_image(ball()[0])
    row = store.add_label(drawn(SliceRef(image_id, 0, 1), ONES))
    with pytest.raises(LookupError, match="no such step of yours"):
        store.revoke(row.client_id, client_id="u1", author="bob")
    assert store.history.of("bob") == ([], [])


def test_a_complete_slice_can_be_reopened_by_anybody(store):
    image_id = store.add_image(ball()[0])
    ref = SliceRef(image_id, 0, 4)
    store.add_label(NewLabel(ref, None, "c1", "ann"))
    assert store.slice_states(image_id) == [(0, 4, "complete")]
    store.reopen_slice(ref, client_id="o1", author="bob")
    assert store.slice_states(image_id) == []


def test_a_class_in_use_cannot_be_removed_and_a_free_one_keeps_its_number(store):
    liver, kidney = store.add_class("Liver"), store.add_class("Kidney")
    image_id = store.add_image(ball()[0])
    row = store.add_label(drawn(SliceRef(image_id, 0, 1), ONES * liver.id))
    with pytest.raises(ValueError, match="pixels of ball carry this class; merge 'Liver'"):
        store.remove_class(liver.id)
    store.remove_class(kidney.id)
    assert [c.name for c in store.classes()] == ["Liver"]
    assert store.add_class("Tumour").id == 3
    assert store.add_class("Kidney").id == kidney.id
    store.revoke(row.client_id, client_id="u", author="ann")
    store.remove_class(liver.id)


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\x00b"])
def test_a_class_name_must_be_readable(store, name):
    with pytest.raises(ValueError, match="1 to 80 printable"):
        store.add_class(name)


def test_a_torn_or_deleted_pixel_file_is_named_as_such(store):
    image_id = store.add_image(ball()[0])
    path = store.image(image_id).path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TornFile, match="import the image again"):
        store.pixels(image_id)
    path.unlink()
    with pytest.raises(TornFile):
        store.pixels(image_id)


def test_threads_read_images_and_labels_at_once(store):
    """In Python 3.11 NumPy's reading of a header is not safe where the garbage of one thread lets another one run."""

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            sum(range(20))

    image_id = store.add_image(ball()[0])
    row = store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))

    def read(_: int) -> None:
        Garbage()
        assert store.pixels(image_id).shape == (9, 17, 23)
        assert (read_patch(row.path, row.box).classes == ONES).all()

    often, every = sys.getswitchinterval(), gc.get_threshold()
    try:
        sys.setswitchinterval(1e-6)
        gc.set_threshold(10)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(read, range(600)))
    finally:
        sys.setswitchinterval(often)
        gc.set_threshold(*every)


def test_a_project_has_one_owner(store):
    with pytest.raises(ProjectBusy, match="is open in process"):
        Store(store.root)
    other = Store.read_only(store.root)
    assert other.images()[0] == 0
    with pytest.raises(ProjectUnwritable, match="only to look"):
        other.add_class("x")
    other.close()


def test_the_owner_notes_where_its_page_is_for_as_long_as_it_has_the_project(tmp_path):
    store = Store(tmp_path)
    assert read_owner(tmp_path) == Owner(os.getpid(), socket.gethostname(), read_owner(tmp_path).since)
    store.note_address("http://127.0.0.1:7860/")
    with pytest.raises(ProjectBusy, match="at http://127.0.0.1:7860/; close it there first") as busy:
        Store(tmp_path)
    assert busy.value.owner.address == "http://127.0.0.1:7860/" and busy.value.owner.on_this_computer
    store.close()
    Store(tmp_path).close()
    assert read_owner(tmp_path).address == ""
    Store.read_only(tmp_path).note_address("http://127.0.0.1:1/")
    assert read_owner(tmp_path).address == ""


def test_leftovers_of_a_crash_go_and_unknown_files_are_set_aside(tmp_path):
    Store(tmp_path).close()
    (tmp_path / "labels" / "half.npz.tmp").write_bytes(b"x")
    (tmp_path / "labels" / f"{uuid.uuid4().hex}.npz").write_bytes(b"whole, but its row was never written")
    store = Store(tmp_path)
    assert list((tmp_path / "labels").iterdir()) == []
    assert len(list((tmp_path / "set-aside").iterdir())) == 1
    store.close()


def test_a_full_disk_keeps_the_old_state_and_says_so(store, monkeypatch):
    image_id = store.add_image(ball()[0])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.arrays.os, "fsync", full)
    with pytest.raises(StorageFull, match="the disk is full"):
        store.add_label(drawn(SliceRef(image_id, 0, 0), ONES))
    monkeypatch.undo()
    assert store.labels(image_id) == []
    assert list((store.root / "labels").iterdir()) == []


def test_counts_per_image_leave_revoked_events_out(store):
    image_id = store.add_image(ball()[0])
    ref = SliceRef(image_id, 0, 1)
    first = store.add_label(drawn(ref, ONES))
    store.add_label(NewLabel(ref, None, "c", "ann"))
    store.add_label(drawn(SliceRef(image_id, 2, 1), ONES))
    assert store.slice_counts([image_id]) == {image_id: (2, 1, first.id + 2)}
    store.revoke("c", client_id="u", author="ann")
    assert store.slice_counts([image_id]) == {image_id: (2, 0, first.id + 3)}
