"""`open` for a project that another process has open already: two real processes each time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.store import Store
from tests.annotator.cli.test_commands import run
from tests.conftest import ROOT, ball
from tests.support.chromium import RunningServer, start_server

HOLD = "import sys; from pathlib import Path; from storage.store import Store; s = Store(Path(sys.argv[1])); input()"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    store = Store(tmp_path / "project")
    store.add_image(ball()[0])
    store.close()
    return tmp_path / "project"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Path]]:
    folder = tmp_path_factory.mktemp("served")
    running = start_server(folder, "--project", str(folder / "project"))
    yield running, folder / "project"
    running.stop()


@contextmanager
def held(project: Path, **changes: object) -> Iterator[dict]:
    """The project in another process that serves no page, with these changes to its note; None takes a key away."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project)], cwd=ROOT, stdin=subprocess.PIPE, text=True
    )
    try:
        note = _note_of(process.pid, project) | changes
        note = {key: value for key, value in note.items() if value is not None}
        (project / "owner.json").write_text(json.dumps(note))
        yield note
    finally:
        process.communicate("\n", timeout=20)


def _note_of(pid: int, project: Path) -> dict:
    while True:
        try:
            note = json.loads((project / "owner.json").read_text())
        except OSError:
            continue
        if note["pid"] == pid:
            return note


def second_start(tmp_path: Path, *arguments: object) -> tuple[subprocess.CompletedProcess[str], str]:
    """`app.py` with a browser that writes down what it opens, and what that was."""
    opened, script = tmp_path / "opened.txt", tmp_path / "browser.sh"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o755)
    command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
    env = os.environ | {"BROWSER": f"{script} %s"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    return done, opened.read_text() if opened.exists() else ""


@pytest.mark.slow
def test_a_second_start_says_where_the_project_is_open_and_opens_that_page(server, tmp_path):
    running, project = server
    done, opened = second_start(tmp_path, "--project", project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{project} is open already at {running.address}/\n"
    assert opened == f"{running.address}/\n"


@pytest.mark.slow
def test_data_of_a_second_start_is_not_imported_and_that_is_said(server, tmp_path):
    running, project = server
    done, opened = second_start(tmp_path, tmp_path, "--project", project, "--no-browser")
    assert done.returncode == 0 and opened == ""
    first, second = done.stdout.splitlines()
    assert running.address in first
    assert second.startswith("Nothing was imported, because process ") and f"Import {tmp_path} on" in second
    assert "Data tab" in second and "stop that process" in second


@pytest.mark.slow
def test_other_commands_name_the_page_that_has_the_project_open(server, tmp_path):
    running, project = server
    done = run("import", tmp_path, "--project", project)
    assert done.returncode == 1 and f"at {running.address}/; close it there first" in done.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"host": "lab-7"}, "open its page on the computer lab-7, or stop it there first"),
        ({"host": "lab-7", "address": "http://127.0.0.1:1/"}, "open its page on the computer lab-7"),
        (
            {"address": None},
            "if it is the app, open the address that it printed; else wait for it or stop it",
        ),
        ({"address": ""}, "if it is the app, open the address that it printed"),
        ({"address": "http://127.0.0.1:1/"}, "its page does not answer, so try again in a moment"),
        ({"address": "file:///etc/hosts"}, "its page does not answer"),
    ],
    ids=["other host", "other host with a page", "old note", "no page", "stopping", "no address of a page"],
)
def test_a_project_without_a_page_to_show_is_an_error_that_says_who_has_it(
    project, tmp_path, changes, sentence
):
    with held(project, **changes) as note:
        done, opened = second_start(tmp_path, "--project", project)
    assert done.returncode == 1 and opened == "" and "Traceback" not in done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("slicewise: ")]
    assert f"{project} is open in process {note['pid']} on {note['host']}" in line and sentence in line


def test_a_torn_note_is_no_traceback(project, tmp_path):
    with held(project):
        for text in ("", "[1]", '{"pid": null, "host": 1, "since": 2}'):
            (project / "owner.json").write_text(text)
            done, _ = second_start(tmp_path, "--project", project)
            assert done.returncode == 1 and "is open in another process; close it there" in done.stderr
