"""A project that a newer version made is neither written nor read by this one: every command says so and ends."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import app
from annotator.backups.backup import back_up
from annotator.jobs import Job
from storage.safety.schema_version import NewerProject, newest_known, number_of
from storage.schema import migration
from storage.store import Store
from tests.annotator.cli.test_damaged_projects import project, told  # noqa: F401  # a fixture

COMMANDS = ("status", "import", "export", "open", "train", "rank", "check")


def made_newer(database: Path) -> None:
    """As a version with one more migration leaves it; its table of labels has another name."""
    with closing(sqlite3.connect(database)) as rows, rows:
        rows.execute("pragma journal_mode = delete")
        rows.execute("alter table labels rename to events")
        rows.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values (?, ?, 'later')",
            [migration.name, f"m{newest_known() + 1:03}_events"],
        )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the notes of who has the project open."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in (".lock", "owner.json")}


def test_each_migration_says_its_number():
    numbers = [number_of(one.name) for one in migration._migrations]
    assert numbers == sorted(set(numbers)) and min(numbers) == 1 and newest_known() == numbers[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_project_is_refused_in_one_sentence_and_left_alone(
    project: Path,  # noqa: F811
    command: str,
    capsys: pytest.CaptureFixture[str],
):
    made_newer(project / "project.db")
    before = contents(project)
    code, line = told(capsys, command, project)
    assert code == 1 and "newer version of Slicewise made this project" in line
    assert f"this version knows {newest_known()}" in line and "update Slicewise" in line
    assert contents(project) == before
    Path(project).rename(moved := project.with_name("moved"))  # nobody holds it open
    assert contents(moved) == before


def test_nobody_looks_at_it_or_backs_it_up_either(project: Path, tmp_path: Path):  # noqa: F811
    made_newer(project / "project.db")
    before = contents(project)
    with pytest.raises(NewerProject):
        Store.read_only(project)
    with pytest.raises(NewerProject):
        back_up(project, tmp_path / "b.zip", Job("backup"))
    assert not list(tmp_path.glob("b.zip*")) and contents(project) == before


def test_a_newer_backup_is_not_restored(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    snapshot = tmp_path / "old" / "later.db"
    snapshot.parent.mkdir()
    snapshot.write_bytes((project / "project.db").read_bytes())
    made_newer(snapshot)
    assert app.main(["restore", str(snapshot), "--project", str(tmp_path / "new")]) == 1
    assert "newer version" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert not (tmp_path / ".new.restoring").exists()
