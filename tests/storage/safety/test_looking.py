"""Looking at a project that cannot be written: nothing is written, everything is read, counts are kept in memory."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from annotator.labels.label_cache import LabelCache
from annotator.labels.progress import Progress
from storage.arrays import SliceRef
from storage.database import LOOKING, ProjectUnwritable
from storage.safety.scratch import NoScratch, scratch_folder
from storage.store import Store
from tests.conftest import ROOT, ball, drawn
from tests.support.full_disk import on_full_disk, on_locked_disk

FULL = """
import sys
from pathlib import Path
import numpy as np
from storage.arrays import Box, Patch, SliceRef
from storage.database import StorageFull
from storage.rows import NewLabel
from storage.scan import Scan
from storage.safety.writable import can_be_written
from storage.store import Store

disk = Path(sys.argv[1])
try:
    Store(disk / "p")
    print("opened")
except StorageFull as error:
    print(error)
try:
    Store(disk / "new")
except StorageFull:
    print("new", (disk / "new").exists())
store = Store.read_only(disk / "p")
print(store.images()[0], store.newest_label(), store.pixels(1).shape, can_be_written(disk / "p"))
store.close()
(disk / "filler").unlink()
print(can_be_written(disk / "p"))
store = Store(disk / "p")
print(store.add_class("two").name)
noise = np.random.default_rng(0).integers(0, 255, (64, 128, 128), np.uint8)
try:
    for n in range(99):
        store.add_image(Scan(f"s{n}", noise + np.uint8(n), None, None))
except StorageFull as error:
    print(error)
try:
    for n in range(99_999):
        patch = Patch(Box(0, 0, 1, 1), np.ones((1, 1), np.uint8))
        store.add_label(NewLabel(SliceRef(1, 0, n % 9), patch, str(n), "ann"))
except StorageFull as error:
    print(error)
left = [{path.name for path in (disk / "p" / name).iterdir()} for name in ("images", "labels")]
images = {row.path.name for row in store.images(limit=-1)[1]}
labels = {row.path.name for n in range(1, 1 + len(images)) for row in store.labels(n) if row.path}
print(left == [images, labels], len(images), len(labels) > 3)
store.close()
"""

LOCKED = """
import sys
from pathlib import Path
from storage.database import ProjectUnwritable
from storage.store import Store

root = Path(sys.argv[1])
try:
    Store(root)
except ProjectUnwritable as error:
    print(error)
store = Store.read_only(root)
print(store.images()[0], store.newest_label(), sorted(path.name for path in root.iterdir()))
store.close()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    store = Store(tmp_path / "project")
    store.add_class("one")
    store.add_image(ball()[0])
    store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 4), np.uint8)))
    store.close()
    return tmp_path / "project"


def run(wrapped: tuple[str, ...], script: str, place: Path) -> list[str]:
    command = [*wrapped, sys.executable, "-c", textwrap.dedent(script), str(place)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert not ran.returncode, ran.stderr
    return ran.stdout.splitlines()


def test_a_project_on_a_full_disk_is_read_and_opens_again_when_there_is_room(project: Path, tmp_path: Path):
    disk = tmp_path / "disk"
    refused, new, looked, healed, added, *filled = run(on_full_disk(disk, project), FULL, disk)
    assert refused.startswith(f"the disk of {disk}/p is full; free some space") and "--look" in refused
    assert new == "new False"  # nothing is left of a project that could not be made
    assert looked == "1 1 (9, 17, 23) False" and healed == "True" and added == "two"
    assert filled[:2] == ["the disk is full; free some space, nothing was lost"] * 2
    assert filled[2].startswith("True ")  # no file that no row knows


def test_a_project_that_nobody_may_write_is_read_where_it_stands(project: Path, tmp_path: Path):
    refused, looked = run(on_locked_disk(tmp_path / "disk", project), LOCKED, tmp_path / "disk")
    assert "cannot be written to (Read-only file system)" in refused
    assert looked.startswith("1 1 ") and "-shm" not in looked and "-wal" not in looked


def test_what_is_counted_while_looking_stays_in_memory(project: Path):
    before = (project / "project.db").read_bytes()
    store = Store.read_only(project)
    assert store.image_states.uncounted() == [1]
    assert Progress(store, LabelCache(store)).counts()["work"] == 1
    assert store.image_states.uncounted() == []
    with pytest.raises(ProjectUnwritable, match=LOOKING):
        store.set_setting("ranker", "random")
    store.close()
    assert (project / "project.db").read_bytes() == before


def test_files_for_a_moment_go_where_there_is_room():
    folder = scratch_folder()
    assert os.listdir(folder.name) == []
    folder.cleanup()
    with pytest.raises(NoScratch, match="set TMPDIR to a folder on another disk"):
        scratch_folder(1 << 62)


def test_the_workplace_of_a_look_is_elsewhere_and_gone_afterwards(project: Path):
    store = Store.read_only(project)
    place = store.workplace
    assert place.is_dir() and not place.is_relative_to(project) and store.workplace == place
    store.close()
    assert not place.exists()
