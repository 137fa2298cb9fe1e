"""The command line: every command without a browser."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import app
from storage.store import Store
from tests.conftest import ROOT


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A volume with its mask and a picture, as a lab has them."""
    folder = tmp_path / "scans"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    values = np.random.default_rng(0).integers(0, 900, (7, 9, 5)).astype(np.int16)
    truth = np.zeros((7, 9, 5), np.uint8)
    truth[2:5, 3:7, 1:4] = 1
    nibabel.save(nibabel.Nifti1Image(values, affine), folder / "images" / "case.nii.gz")
    nibabel.save(nibabel.Nifti1Image(truth, affine), folder / "labels" / "case.nii.gz")
    (folder / "images" / "broken.png").write_bytes(b"not a picture")
    Image.fromarray(np.full((12, 16), 90, np.uint8)).save(folder / "images" / "picture.png")
    return folder


def test_import_status_and_export_go_from_files_to_files(scans, tmp_path):
    project = tmp_path / "project"
    done = run("import", scans, "--project", project)
    assert done.returncode == 0, done.stderr
    assert "2 imported" in done.stdout and "broken.png" in done.stderr
    status = json.loads(run("status", "--project", project, "--json").stdout)
    assert status["images"] == 2 and status["images_labelled"] == 1 and status["slices_complete"] >= 3
    done = run("export", tmp_path / "out", "--project", project)
    assert done.returncode == 0, done.stderr
    exported = next((tmp_path / "out").rglob("case*.nii.gz"))
    truth = nibabel.load(scans / "labels" / "case.nii.gz")
    np.testing.assert_array_equal(np.asarray(nibabel.load(exported).dataobj), np.asarray(truth.dataobj))
    np.testing.assert_array_equal(nibabel.load(exported).affine, truth.affine)


def test_importing_the_same_folder_again_changes_nothing(scans, tmp_path):
    project = tmp_path / "project"
    run("import", scans, "--project", project)
    again = run("import", scans, "--project", project)
    assert "0 imported" in again.stdout
    assert json.loads(run("status", "--project", project, "--json").stdout)["images"] == 2


def test_a_project_imported_into_itself_or_another_one_costs_one_sentence(scans, tmp_path):
    project, other = scans / "project", tmp_path / "other"
    run("import", scans, "--project", project)
    for given, into in ((project, project), (project / "images", project), (project, other)):
        done = run("import", given, "--project", into)
        lines = [line for line in done.stderr.splitlines() if line.startswith("refused")]
        assert done.returncode == 1 and len(lines) == 1, done.stderr
        assert lines[0].startswith(f"refused: {given.name}: it is a project of this app")
    again = run("import", scans, "--project", project)
    assert "0 imported" in again.stdout and "1 refused" in again.stdout, "the broken picture alone"
    done = run("import", scans, "--project", other)
    assert "2 imported" in done.stdout and "with 1 mask" in done.stdout and "2 refused" in done.stdout


def test_status_and_export_work_while_the_project_is_open(scans, tmp_path):
    project = tmp_path / "project"
    run("import", scans, "--project", project)
    store = Store(project)
    try:
        assert json.loads(run("status", "--project", project, "--json").stdout)["images"] == 2
        assert run("export", tmp_path / "out.zip", "--project", project).returncode == 0
        busy = run("import", scans, "--project", project)
        assert busy.returncode == 1 and "is open in process" in busy.stderr
    finally:
        store.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("import", "nowhere"), "nowhere does not exist"),
        (("nowhere",), "nowhere does not exist"),
        (("status", "--project", "nowhere"), "is not a project"),
        (("user", "list", "--project", "nowhere"), "is not a project"),
        (("--checkpoint", "nowhere.pth", "--project", "p"), "does not exist; give a SAM checkpoint"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_a_traceback(arguments, sentence, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_users_and_links_are_managed_from_the_command_line(tmp_path):
    project = tmp_path / "project"
    Store(project).close()
    add = [sys.executable, str(ROOT / "app.py"), "user", "add", "ann", "--project", str(project)]
    done = subprocess.run(add, input="a long enough password\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert run("user", "list", "--project", project).stdout.strip() == "ann"
    assert "/login?token=" in run("link", "bob", "--project", project).stdout
    assert run("user", "remove", "ann", "--project", project).returncode == 0
    assert "no users" in run("user", "list", "--project", project).stdout


def test_other_computers_get_in_only_when_somebody_can_sign_in(tmp_path):
    done = run("--host", "0.0.0.0", "--port", "0", "--no-browser", "--project", tmp_path / "p")
    assert done.returncode == 1 and "nobody could sign in" in done.stderr


@pytest.mark.parametrize("command", ["", *app.COMMANDS])
def test_every_command_has_complete_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        app.main([command, "--help"] if command else ["--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and len(out) > 150
    lines = [line for line in out.splitlines() if line.startswith("  --")]
    assert all(len(line.split(None, 2)) > 1 or "--" in line for line in lines)
