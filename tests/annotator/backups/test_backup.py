"""A project goes into an archive while people work, and comes back to the bit; an archive that lies is refused."""

import hashlib
import json
import sqlite3
import threading
import uuid
import zipfile
from pathlib import Path

import numpy as np
import pytest

import app
from annotator.backups.backup import MANIFEST, back_up
from annotator.backups.restore import restore
from annotator.jobs import Job
from storage.arrays import Box, Patch, SliceRef
from storage.fold import fold
from storage.predictions import NewPrediction
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

SHAPE = (9, 17, 23)


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "project")
    store.add_class("one")
    for seed in range(2):
        image = store.add_image(ball(SHAPE, seed)[0])
        store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 6), np.uint8)))
        arrays = np.zeros(SHAPE, np.uint8)
        store.predictions.add(NewPrediction(image, "random_walker", "propagated", 1, arrays, arrays))
    yield store
    store.close()


def test_what_comes_back_is_what_was_there(store: Store, tmp_path: Path):
    archive, root = tmp_path / "out" / "b.zip", tmp_path / "new"
    manifest = back_up(store.root, archive, Job("backup"))
    assert manifest.clock == 2 and len(manifest.files) == 1 + 2 + 2 + 4
    assert restore(archive, root, Job("restore")) == len(manifest.files)
    back = Store(root)
    assert [row.name for row in back.classes()] == ["one"]
    for image in (1, 2):
        assert (back.pixels(image) == store.pixels(image)).all()
        there, was = fold(SHAPE, back.labels(image)), fold(SHAPE, store.labels(image))
        proposed = back.predictions.newest(image)
        assert (there.classes == was.classes).all()
        assert proposed is not None and proposed.classes().shape == SHAPE
    back.close()
    assert [path.name for path in archive.parent.iterdir()] == ["b.zip"]  # nothing half done stays


def test_a_backup_of_an_open_project_is_one_moment_of_it(store: Store, tmp_path: Path):
    """Somebody labels, fills are replaced; each archive is whole and holds what was acknowledged before it began."""
    stop, acknowledged = threading.Event(), [0]

    def work() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            patch = Patch(Box(0, 0, 2, 2), np.full((2, 2), 1, np.uint8))
            row = store.add_label(NewLabel(SliceRef(1, 0, n % 9), patch, uuid.uuid4().hex, "ann"))
            acknowledged[0] = row.id
            arrays = np.full(SHAPE, n % 2, np.uint8)
            store.predictions.add(NewPrediction(1, "random_walker", "propagated", row.id, arrays, arrays))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for n in range(4):
            before = acknowledged[0]
            manifest = back_up(store.root, tmp_path / f"{n}.zip", Job("backup"))
            assert manifest.clock >= before
    finally:
        stop.set()
        worker.join()
    for n in range(4):
        root = tmp_path / f"back{n}"
        restore(tmp_path / f"{n}.zip", root, Job("restore"))
        assert app.main(["check", "--project", str(root)]) == 0
        back = Store(root)
        assert fold(SHAPE, back.labels(1)).problems == []
        back.close()


def test_nothing_is_written_over(store: Store, tmp_path: Path, capsys):
    archive = tmp_path / "b.zip"
    project, target = str(store.root), str(archive)
    assert app.main(["backup", target, "--project", project]) == 0
    assert app.main(["backup", target, "--project", project]) == 1
    assert "is there already; give another name" in capsys.readouterr().err
    assert app.main(["restore", target, "--project", project]) == 1
    assert "is not written over; give --project a new folder" in capsys.readouterr().err
    assert app.main(["restore", str(tmp_path / "none.zip"), "--project", str(tmp_path / "n")]) == 1
    assert "does not exist; choose an archive" in capsys.readouterr().err


def forged(archive: Path, change) -> Path:
    """The same archive with other content; `change` is given what it holds."""
    with zipfile.ZipFile(archive) as source:
        content = {name: source.read(name) for name in source.namelist()}
    told = json.loads(content[MANIFEST])
    packing = change(content, told) or zipfile.ZIP_STORED
    content[MANIFEST] = json.dumps(told).encode()
    target = archive.with_name("forged.zip")
    with zipfile.ZipFile(target, "w", packing) as out:
        for name, data in content.items():
            out.writestr(name, data)
    return target


def add(content, told, place: str, data: bytes) -> None:
    content[place] = data
    told["files"][place] = [len(data), hashlib.sha256(data).hexdigest()]


def bomb(content, told) -> int:
    add(content, told, f"images/{'0' * 32}.npy", bytes(64 << 20))
    return zipfile.ZIP_DEFLATED


def torn(content, told) -> None:
    place = next(name for name in content if name.startswith("labels/"))
    content[place] = content[place][:-1] + b"x"


def missing(content, told) -> None:
    del content[next(name for name in content if name.startswith("images/"))]


def huge(content, told) -> None:
    told["files"]["project.db"][0] = 1 << 60


def elsewhere(table: str):
    """A row whose file would be read, and deleted with its image, outside the project."""

    def change(content, told) -> None:
        with sqlite3.connect(":memory:") as rows:
            rows.deserialize(content["project.db"])
            rows.execute(f"update {table} set uid = '../../outside' where id = 1")
            rows.commit()
            add(content, told, "project.db", rows.serialize())

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(
            (elsewhere(table), "which is no file of a project")
            for table in ("images", "labels", "predictions")
        ),
        (lambda c, t: add(c, t, "../outside.txt", b"x"), "is no file of a project"),
        (lambda c, t: add(c, t, "/etc/outside", b"x"), "is no file of a project"),
        (lambda c, t: add(c, t, "rounds/1/../../../x", b"x"), "is no file of a project"),
        (lambda c, t: add(c, t, "private/session.key", b"x"), "is no file of a project"),
        (bomb, "out of almost nothing"),
        (torn, "is damaged; use another backup"),
        (missing, "is missing in forged.zip; use another backup"),
        (huge, "the project needs .* MB, and the disk of"),
        (lambda c, t: t.update(files=3), "of this archive is damaged"),
        (lambda c, t: t.update(format=2), "a newer version made this backup"),
        (lambda c, t: t["files"].pop("project.db") and None, "of this archive is damaged"),
    ],
)
def test_an_archive_that_lies_leaves_nothing(store: Store, tmp_path: Path, change, words: str):
    back_up(store.root, tmp_path / "b.zip", Job("backup"))
    bad = forged(tmp_path / "b.zip", change)
    before = {path for path in tmp_path.rglob("*")}
    with pytest.raises(ValueError, match=words):
        restore(bad, tmp_path / "new", Job("restore"))
    assert {path for path in tmp_path.rglob("*")} == before


def test_any_other_file_is_no_backup(tmp_path: Path):
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match="choose an archive that the command backup made"):
        restore(tmp_path / "text.zip", tmp_path / "new", Job("restore"))
