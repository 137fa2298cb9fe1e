"""What a project that is damaged, incomplete or closed to writing, or a folder of odd files, gets: one sentence."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from annotator.text import refusal
from storage.database import ProjectUnwritable, StorageFull, full_disk_told
from storage.lock import ProjectBusy
from storage.safety.writable import unwritable_told
from storage.store import Store

NOBODY = 65534
COMMANDS = ("status", "import", "export", "open", "train", "rank")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two pictures, one of them with a mask."""
    for name in ("a", "b"):
        picture(tmp_path / "data" / "images" / f"{name}.png")
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 7:20] = 1
    (tmp_path / "data" / "labels").mkdir()
    Image.fromarray(mask).save(tmp_path / "data" / "labels" / "a.png")
    assert app.main(["import", str(tmp_path / "data"), "--project", str(tmp_path / "p")]) == 0
    return tmp_path / "p"


def told(capsys: pytest.CaptureFixture[str], command: str, project: Path) -> tuple[int, str]:
    """Exit code, and what a command of the project said on stderr in its own name."""
    data, out = [str(project.parent / "data")], [str(project.parent / "out")]
    more = {"import": data, "export": out, "open": ["--no-browser", "--port", "0", "--no-download"]}.get(
        command, []
    )
    capsys.readouterr()
    code = app.main([command, *more, "--project", str(project)])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("slicewise: ")]
    return code, "".join(lines)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\7" * 4000])
def test_a_database_that_is_none_is_one_sentence(project: Path, command: str, content: bytes, capsys):
    (project / "project.db").write_bytes(content)
    for left in project.glob("project.db-*"):
        left.unlink()
    code, line = told(capsys, command, project)
    assert code == 1 and "is damaged or no database of Slicewise" in line and "put a copy of it back" in line
    assert (project / "project.db").read_bytes() == content


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_in_place_of_the_database_is_one_sentence(project: Path, command: str, capsys):
    (project / "project.db").unlink()
    (project / "project.db").mkdir()
    code, line = told(capsys, command, project)
    assert code == 1 and "is no file" in line and "put it back from a copy" in line


def test_a_project_that_is_a_file_is_one_sentence(tmp_path: Path, capsys):
    picture(tmp_path / "data/a.png")
    code, line = told(capsys, "import", picture(tmp_path / "b.png"))
    assert code == 1 and "is a file and a project is a folder" in line


def test_masks_that_are_not_there_are_told(tmp_path: Path, capsys):
    picture(tmp_path / "data/a.png")
    (tmp_path / "none").mkdir()
    where = [str(tmp_path / "data"), "--project", str(tmp_path / "q")]
    assert app.main(["import", *where, "--labels", str(tmp_path / "none")]) == 0
    assert "refused: none: it holds no mask" in capsys.readouterr().err
    assert app.main(["import", *where, "--labels", str(tmp_path / "gone")]) == 1
    assert "give a file or a folder of masks" in capsys.readouterr().err


def test_a_look_at_nothing_says_so(tmp_path: Path, capsys):
    (tmp_path / "none").mkdir()
    assert app.main(["import", str(tmp_path / "none"), "--dry-run", "--project", str(tmp_path / "q")]) == 1
    assert "There is no image in it" in capsys.readouterr().out


def test_a_database_of_another_program_is_one_sentence(tmp_path: Path, capsys):
    (tmp_path / "p").mkdir()
    with sqlite3.connect(tmp_path / "p" / "project.db") as other:
        other.execute("create table notes (text)")
    code, line = told(capsys, "status", tmp_path / "p")
    assert code == 1 and "no database of Slicewise" in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("emptied", [False, True])
def test_a_project_without_its_facts_is_no_empty_one(project: Path, command: str, emptied: bool, capsys):
    for left in project.glob("project.db*"):
        left.unlink()
    if emptied:
        (project / "project.db").touch()
    images = sorted((project / "images").iterdir())
    code, line = told(capsys, command, project)
    assert code == 1 and "project.db" in line and "put it back from a copy" in line
    assert sorted((project / "images").iterdir()) == images and not (project / "set-aside").exists()


def test_deleting_the_lock_file_lets_nobody_else_in(project: Path):
    store = Store(project)
    (project / ".lock").unlink()
    with pytest.raises(ProjectBusy):
        Store(project)
    store.close()
    Store(project).close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere; the tests may run as root."""
    if os.name == "nt" or os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed(project: Path) -> Iterator[Path]:
    """The project in a folder where nobody may write; a journal that was not brought in lies beside its database."""
    for part in (project, *project.rglob("*"), *project.parents):
        if part.stat().st_uid == os.geteuid() and str(part).startswith("/tmp"):
            part.chmod(part.stat().st_mode | 0o055)
    project.chmod(0o555)
    (project / "project.db").chmod(0o444)
    yield project
    project.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="rights work otherwise there")
@pytest.mark.parametrize("journal", [False, True])
def test_a_project_that_cannot_be_written_can_be_read(closed: Path, journal: bool):
    if journal:
        _leave_a_journal(closed)
    with as_nobody():
        store = Store.read_only(closed)
        total, images = store.images()
        assert total == 2 and store.pixels(images[0].id).shape == (1, 20, 30)
        assert [row.name for row in store.classes()] == (["1", "late"] if journal else ["1"])
        store.close()
        with pytest.raises(ProjectUnwritable, match="cannot be written to .* open it with --look"):
            Store(closed)


def _leave_a_journal(project: Path) -> None:
    """As after a crash: the newest facts are in the journal alone."""
    project.chmod(0o755)
    store = Store(project)
    store.add_class("late")
    names = ("project.db", "project.db-wal")
    copies = {name: (project / name).read_bytes() for name in names}
    store.close()
    for name, content in copies.items():
        (project / name).write_bytes(content)
        (project / name).chmod(0o444)
    project.chmod(0o555)


def test_an_import_of_nothing_says_so_and_fails(tmp_path: Path, capsys):
    (tmp_path / "data").mkdir()
    for notes in (0, 2):
        for number in range(notes):
            (tmp_path / "data" / f"{number}.txt").write_text("no picture")
        code, line = told(capsys, "import", tmp_path / "p")
        assert code == 1 and "holds no image; give a file or a folder of images" in line
    picture(tmp_path / "data" / "a.png")
    assert told(capsys, "import", tmp_path / "p") == (0, "")
    assert told(capsys, "import", tmp_path / "p") == (0, "")  # there already is not nothing


def test_links_to_folders_are_followed_once_and_dangling_ones_are_said(tmp_path: Path, capsys):
    data, real = tmp_path / "data", tmp_path / "real"
    picture(data / "own" / "a.png")
    picture(real / "deep" / "b.png")
    (data / "images").symlink_to(real, target_is_directory=True)
    (data / "again").symlink_to(real, target_is_directory=True)
    (data / "round").symlink_to(tmp_path, target_is_directory=True)
    (real / "back").symlink_to(data, target_is_directory=True)
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (data / "lost").symlink_to(tmp_path / "no folder", target_is_directory=True)
    capsys.readouterr()
    assert app.main(["import", str(data), "--project", str(tmp_path / "p")]) == 0
    said = capsys.readouterr().err
    store = Store.read_only(tmp_path / "p")
    assert sorted(row.source for row in store.images()[1]) == ["again/deep/b.png", "own/a.png"]
    store.close()
    for name, reason in (
        ("gone.png", "leads nowhere"),
        ("lost", "leads nowhere"),
        ("round", "imported anyway"),
    ):
        assert any(name in line and reason in line for line in said.splitlines()), name


def test_a_project_is_not_damaged_by_a_look(project: Path, tmp_path: Path):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    shutil.copytree(project, tmp_path / "copy")
    assert app.main(["status", "--project", str(project)]) == 0
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_systems_own_errors_are_sentences(tmp_path: Path):
    for number, words in (
        (28, "the disk is full (/p/a); free some space"),
        (30, "/p/a cannot be used (Read-only"),
    ):
        assert refusal(OSError(number, os.strerror(number), "/p/a")).startswith(words)
    assert refusal(OSError("1000000 requested and 368512 written")).startswith(
        "the disk is full; free some space"
    )
    assert refusal(FileNotFoundError("give a file")) == "give a file"


FULL = Path("/dev/full")  # every write to it fails as on a full disk


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has such a device")
def test_a_full_disk_is_said_whoever_notices_it(tmp_path: Path):
    with pytest.raises(StorageFull, match="free some space"), full_disk_told():
        np.zeros(10**6).tofile(FULL)
    with pytest.raises(StorageFull, match="open it with --look"), unwritable_told(tmp_path):
        FULL.write_bytes(bytes(10))
    with pytest.raises(StorageFull), unwritable_told(tmp_path):
        raise sqlite3.OperationalError("database or disk is full")
