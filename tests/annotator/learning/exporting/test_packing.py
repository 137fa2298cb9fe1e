"""What is packed beside an exported model: enough to run, nothing of the page or the database."""

import subprocess
import sys
from pathlib import Path

import pytest

from annotator.learning.exporting.imports import ROOT, needed_by
from annotator.learning.exporting.packing import PACKED, PROGRAM, pack_program

NEVER = ("gradio", "fastapi", "sqlite3", "sqlite_utils", "storage.store", "storage.database", "cv2", "ray")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    pack_program(folder)
    return folder


def test_the_packed_program_imports_alone_and_loads_neither_page_nor_database(packed: Path):
    code = (
        f"import sys; sys.path.insert(0, {str(packed / PACKED)!r}); import {PROGRAM} as program;"
        f"print(program.__file__); print(*(set({NEVER!r}) & set(sys.modules)))"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=packed, capture_output=True, text=True, check=True, timeout=100)
    file, loaded = done.stdout.splitlines()
    assert Path(file).is_relative_to(packed) and not loaded.strip()


def test_what_is_packed_is_the_apps_own_code_byte_for_byte(packed: Path):
    files = [path for path in (packed / PACKED).rglob("*.py") if "__pycache__" not in path.parts]
    assert len(files) > 30
    for path in files:
        assert path.read_bytes() == (ROOT / path.relative_to(packed / PACKED)).read_bytes()


def test_no_module_of_the_page_or_the_database_is_packed():
    needed = needed_by(PROGRAM)
    assert not {"storage.store", "storage.database", "storage.schema", "annotator.workflow"} & set(
        needed.ours
    )
    assert not {"gradio", "fastapi", "sqlite3", "sqlite_utils", "cv2"} & needed.others


def test_the_requirements_are_the_apps_own_versions_without_the_build(packed: Path):
    lines = (packed / "requirements.txt").read_text().split()
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    apps = {pin.split("#")[0].strip().lower() for pin in pins}
    assert {line.partition("==")[0].lower() for line in lines} >= {"torch", "nibabel", "pillow", "pydicom"}
    assert all(line.lower() in apps for line in lines)


def test_imports_inside_functions_count_and_those_of_type_checkers_do_not():
    from_formats = needed_by("storage.formats")
    assert {"SimpleITK", "nibabel", "PIL"} <= from_formats.others
    assert "torch" not in needed_by("learners").others
