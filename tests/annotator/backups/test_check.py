"""The check finds every damaged file, mends what can be mended, and says the rest."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import app
from annotator.backups.snapshots import take_snapshot
from annotator.labels.label_cache import LabelCache
from annotator.labels.repair import Repair
from storage.arrays import SliceRef
from storage.channels.named import Channel, ChannelLook, picture_of
from storage.predictions import NewPrediction
from storage.scan import Scan
from storage.store import Store
from tests.conftest import ball, drawn

SHAPE = (9, 17, 23)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    store = Store(tmp_path / "project")
    store.add_class("one")
    for seed in range(2):
        image = store.add_image(ball(SHAPE, seed)[0])
        store.add_label(drawn(SliceRef(image, 0, 4), np.ones((5, 6), np.uint8)))
    arrays = np.zeros(SHAPE, np.uint8)
    store.predictions.add(NewPrediction(1, "random_walker", "propagated", 1, arrays, arrays))
    Repair(store, LabelCache(store)).rename("ann", 2, "other")
    store.close()
    return tmp_path / "project"


def told(capsys, project: Path) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = app.main(["check", "--project", str(project)])
    return code, capsys.readouterr().out.splitlines()


def one(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def test_a_whole_project_is_whole(project: Path, capsys):
    assert told(capsys, project) == (0, ["4 files checked; the project is whole"])


@pytest.mark.parametrize("damage", [cut, change, Path.unlink])
@pytest.mark.parametrize("kind", ["images", "labels"])
def test_what_people_made_is_said_and_comes_back_from_a_snapshot(project: Path, capsys, kind: str, damage):
    damage(one(project / kind))
    code, lines = told(capsys, project)
    assert code == 1 and len(lines) == 2 and lines[0].startswith("damaged: ")
    assert ("import this image again" if kind == "images" else "draw it again") in lines[0]


def test_a_snapshot_gives_a_file_back(project: Path, capsys):
    take_snapshot(project)
    for kind in ("images", "labels"):
        one(project / kind).unlink()
    code, lines = told(capsys, project)
    assert code == 0 and [line.split(":")[0] for line in lines[:2]] == ["mended", "mended"]
    assert told(capsys, project) == (0, ["4 files checked; the project is whole"])


def test_what_is_derived_is_made_again(project: Path, capsys):
    cut(next((project / "predictions").glob("*.classes.npy")))
    code, lines = told(capsys, project)
    assert (
        code == 0
        and lines[0].startswith("mended: the proposal of random_walker")
        and "made again" in lines[0]
    )
    assert told(capsys, project)[1] == ["4 files checked; the project is whole"]
    store = Store(project)
    assert store.predictions.newest(1) is None
    store.close()


def test_a_project_that_is_open_is_checked_and_not_touched(project: Path, capsys):
    store = Store(project)
    cut(next((project / "predictions").glob("*.classes.npy")))
    code, lines = told(capsys, project)
    assert code == 0 and lines[0].startswith("mended: ")
    assert store.predictions.newest(1) is not None
    store.close()


def test_a_torn_database_names_its_newest_snapshot(project: Path, capsys, tmp_path: Path):
    made = take_snapshot(project)
    assert made is not None
    (project / "project.db").write_bytes(b"no database at all" * 400)
    assert app.main(["check", "--project", str(project)]) == 1
    assert f"python app.py restore {made}" in capsys.readouterr().err
    assert app.main(["restore", str(made), "--project", str(tmp_path / "new")]) == 0
    store = Store(tmp_path / "new")
    assert store.newest_label() == 2 and store.pixels(2).shape == SHAPE
    store.close()
    shutil.rmtree(tmp_path / "new")


def test_a_damaged_channel_is_named(project: Path, capsys: pytest.CaptureFixture[str]):
    store, values = Store(project), ball(SHAPE, 3)[0].pixels
    named = tuple(Channel(name, values, ChannelLook("#00ff00", (0.0, 9.0))) for name in ("DNA", "actin"))
    image = store.add_image(Scan("cells.tif", picture_of(named), None, None, named=named))
    rows = store.image(image).named
    store.close()
    assert told(capsys, project)[0] == 0
    backup = project.parent / "backup.zip"
    assert app.main(["backup", str(backup), "--project", str(project)]) == 0
    rows[1].path.write_bytes(rows[1].path.read_bytes()[:-1] + b"\7")
    rows[0].path.unlink()
    code, lines = told(capsys, project)
    assert code == 1
    assert any("the channel DNA of 'cells.tif' is missing; import this image again" in line for line in lines)
    assert any("the channel actin of 'cells.tif' is changed" in line for line in lines)
    assert app.main(["restore", str(backup), "--project", str(project.parent / "again")]) == 0
    assert told(capsys, project.parent / "again")[0] == 0


def test_emptying_the_bin_deletes_the_files_of_channels(project: Path):
    store, values = Store(project), ball(SHAPE, 3)[0].pixels
    named = tuple(Channel(name, values, ChannelLook("#00ff00", (0.0, 9.0))) for name in ("DNA", "actin"))
    image = store.add_image(Scan("cells.tif", picture_of(named), None, None, named=named))
    paths = [row.path for row in store.image(image).named]
    Repair(store, LabelCache(store)).delete("ann", [image])
    assert all(path.exists() for path in paths)
    store.bin.empty()
    assert not any(path.exists() for path in paths)
    store.close()
