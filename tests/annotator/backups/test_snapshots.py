"""Snapshots: one a night, seven kept, images once; none where nothing changed or the disk has no room."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from annotator.backups import snapshots as made
from annotator.backups.nightly import QUIET_LOOKS, Nightly, is_due
from annotator.backups.restore import restore
from annotator.backups.snapshots import FOLDER, KEPT, NoRoom, snapshots, take_snapshot
from annotator.jobs import Job
from storage.arrays import SliceRef
from storage.store import Store
from tests.conftest import ball, drawn


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "project")
    store.add_class("one")
    store.add_image(ball()[0])
    yield store
    store.close()


@pytest.fixture
def stamps(monkeypatch):
    """Each snapshot a day after the one before."""
    days = iter(range(1, 29))
    monkeypatch.setattr(made.time, "strftime", lambda form: f"2026-02-{next(days):02}_020000")


def label(store: Store) -> None:
    store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 4), np.uint8)))


def files(store: Store, kind: str) -> list[Path]:
    return sorted((store.root / FOLDER / kind).iterdir())


def test_seven_are_kept_and_images_are_there_once(store: Store, stamps):
    for _ in range(KEPT + 3):
        label(store)
        assert take_snapshot(store.root) is not None
    assert [path.name[8:10] for path in snapshots(store.root)] == ["04", "05", "06", "07", "08", "09", "10"]
    (image,) = files(store, "images")
    assert image.samefile(store.root / "images" / image.name)
    assert len(files(store, "labels")) == KEPT + 3
    assert not any(path.samefile(store.root / "labels" / path.name) for path in files(store, "labels"))


def test_the_same_facts_are_not_kept_twice(store: Store, stamps):
    assert take_snapshot(store.root) is not None
    store.set_setting("anything", "else")
    assert take_snapshot(store.root) is None
    label(store)
    assert take_snapshot(store.root) is not None and len(snapshots(store.root)) == 2


def test_a_snapshot_is_restored_as_it_was(store: Store, stamps, tmp_path: Path):
    label(store)
    first = take_snapshot(store.root)
    label(store)
    take_snapshot(store.root)
    assert first is not None
    restore(first, tmp_path / "new", Job("restore"))
    back = Store(tmp_path / "new")
    assert back.newest_label() == 1 and (back.pixels(1) == store.pixels(1)).all()
    back.close()


def test_a_clock_that_was_set_back_does_not_make_the_newest_the_oldest(store: Store, monkeypatch):
    days = iter([*range(20, 20 + KEPT), 3, 2, 1])
    monkeypatch.setattr(made.time, "strftime", lambda form: f"2026-02-{next(days):02}_020000")
    clocks = {}
    for _ in range(KEPT + 3):
        label(store)
        taken = take_snapshot(store.root)
        assert taken is not None
        clocks[taken] = store.newest_label()
    kept = snapshots(store.root)
    assert [clocks[path] for path in kept] == [*range(4, KEPT + 4)]
    assert take_snapshot(store.root) is None, "the newest is the one that has today's labels"


def test_snapshots_of_older_versions_come_first_and_files_of_others_stay(store: Store):
    label(store)
    first = take_snapshot(store.root)
    assert first is not None
    old = first.rename(first.with_name("2031-01-01_020000.db"))  # as versions before named it
    mine = first.with_name("before the merge.db")
    mine.write_bytes(old.read_bytes())
    label(store)
    second = take_snapshot(store.root)
    assert snapshots(store.root) == [old, second] and mine.exists()
    assert Nightly(store, lambda: False)._last() is not None


def test_without_links_images_are_copied_once(store: Store, stamps, monkeypatch):
    def refuse(*names: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(made.os, "link", refuse)
    take_snapshot(store.root)
    (image,) = files(store, "images")
    assert not image.samefile(store.root / "images" / image.name)


def test_a_disk_without_room_gets_a_line_and_no_snapshot(store: Store, monkeypatch):
    monkeypatch.setattr(made, "RESERVE", 1 << 60)
    with pytest.raises(NoRoom, match="no snapshot was made"):
        take_snapshot(store.root)
    assert snapshots(store.root) == [] and not list((store.root / FOLDER).glob("*.tmp"))


NOW = datetime(2026, 3, 1, 2, 30)


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [
        (NOW, None, True),
        (NOW, NOW - timedelta(hours=20), True),
        (NOW, NOW - timedelta(minutes=10), False),
        (NOW.replace(hour=23), NOW, False),
        (NOW.replace(hour=1), NOW - timedelta(hours=20), False),
        (NOW.replace(hour=1), NOW - timedelta(hours=26), True),
        (NOW, NOW + timedelta(minutes=50), False),  # the end of summer time
        (NOW, NOW + timedelta(days=400), True),  # the clock was set back
    ],
)
def test_a_snapshot_is_due_once_a_night(now: datetime, last: datetime | None, due: bool):
    assert is_due(now, last) is due


def test_it_waits_for_a_quiet_moment_and_not_for_ever(store: Store):
    busy = [False]
    night = Nightly(store, lambda: busy[0])
    now = NOW
    for _ in range(QUIET_LOOKS):
        label(store)
        assert night.look(now := now + timedelta(minutes=1)) is None
    assert [night.look(now := now + timedelta(minutes=1)) is None for _ in range(QUIET_LOOKS)] == [
        True,
        True,
        False,
    ]
    label(store)
    busy[0] = True
    tomorrow = datetime.now() + timedelta(days=1, hours=1)
    assert night.look(tomorrow) is None
    assert night.look(tomorrow + timedelta(hours=3)) is not None
