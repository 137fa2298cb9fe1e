"""The arrows between packages, checked."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"app", "annotator", "benchmarks", "learners", "models", "slicewise", "storage", "tests"}
MAY = {
    "storage": {"storage"},
    "models": {"models"},
    "learners": {"learners", "models", "storage"},
    "annotator": {"annotator", "learners", "models", "storage"},
    "slicewise": {"slicewise", "annotator", "learners", "models", "storage"},
    "bencharks": {"benchmarks", "annotator", "learners", "models", "storage", "app", "tests"},
}
ONLY_IN = {  # a library and the files that may know it
    "gradio": {"annotator/page/gradio_import.py"},
    "sqlite3": {
        "storage/database.py",
        "storage/safety/contents.py",
        "storage/safety/looking.py",
        "storage/safety/schema_version.py",
        "storage/safety/writable.py",
    },
    "sqlite_utils": {
        "storage/bin.py",
        "storage/classes.py",
        "storage/database.py",
        "storage/events/acts.py",
        "storage/events/revoking.py",
        "storage/image_sources.py",
        "storage/safety/looking.py",
        "storage/schema.py",
        "storage/store.py",
        "storage/tags.py",
    },
    "ray": {
        "learners/engines/ray_cluster.py",
        "learners/engines/ray_encoders.py",
        "learners/engines/ray_rounds.py",
        "learners/engines/ray_team.py",
    },
}
FILES = sorted(path for package in MAY for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_is_below_it(path: Path):
    name = path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    for module in imported(path):
        top = module.split(".")[0]
        assert top not in OURS or top in MAY[package], f"{name} imports {module}"
        assert top not in ONLY_IN or name in ONLY_IN[top] or package == "benchmarks", (
            f"{name} imports {module}"
        )


def test_learners_see_arrays_and_not_the_database():
    for path in (ROOT / "learners").rglob("*.py"):
        below = {module for module in imported(path) if module.startswith("storage")}
        assert below <= {"storage.arrays", "storage.array_cache"}, f"{path.name} imports {below}"


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("models", {"torch", "gradio", "sqlite3"}),
        ("models.prompt", {"torch", "cv2"}),
        ("storage.arrays", {"sqlite3", "sqlite_utils", "torch"}),
        ("annotator.workflow", {"gradio", "fastapi", "torch"}),
        ("slicewise", {"torch", "gradio", "fastapi"}),
        ("app", {"torch", "gradio", "cv2", "numpy"}),
    ],
)
def test_a_light_module_stays_light(module: str, never: set[str]):
    code = f"import {module}, sys; print(*{never!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_gradio_is_imported_without_reading_its_own_source_for_stubs():
    code = (
        "import ast, inspect; real = inspect.getfile; ast.get_source_segment = None;"  # what reads it would fail
        "from annotator.page.gradio_import import gr; assert inspect.getfile is real;"
        "print(gr.Button.click.event_name, inspect.getfile(gr.Blocks).endswith('blocks.py'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "click True"


LISTS = ("index.js", "toolbox.js")
TOOLS = sorted((ROOT / "annotator" / "page" / "static" / "engine" / "tools").glob("*.js"))


@pytest.mark.parametrize("path", [p for p in TOOLS if p.name not in LISTS], ids=lambda path: path.name)
def test_a_tool_needs_nothing_that_waits_for_the_list_of_tools(path: Path):
    """The list waits until every tool is loaded: a tool that waited for it would hang the page."""
    assert not set(LISTS) & {p.name for p in scripts_of(path) if p.parent == path.parent}


def scripts_of(path: Path) -> set[Path]:
    """The scripts that a script imports, and those that they import."""
    found: set[Path] = set()
    left = [path]
    while left:
        now = left.pop()
        names = re.findall(r'(?:from|^import) "(\..+?)"', now.read_text(encoding="utf-8"), re.MULTILINE)
        new = {(now.parent / name).resolve() for name in names} - found
        found |= new
        left += new
    return found


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
