"""docs/extending.md is so: its examples, carried out in a copy of the program, pass the tests that it names."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.extending import PAGE, ExtendingSection, carry_out, copy_of_the_program, sections

SECTIONS = sections()
# Where an example is one file and one line, and the tests that the document names run by pytest without a browser.
PARTS = {
    "A ranker": "thickest",
    "An export format": "stack",
    "A learner": "least_entropy",
    "A propagator": "blend",
    "An adapter": "halfway",
    "A prompt model": "smoothed",
}
ROWS = re.findall(
    r"^\| \[(.+?)\]\(#.+?\) \| .+? \| .+? \| `(tests/.+?)` \|$", PAGE.read_text("utf-8"), re.MULTILINE
)
TESTS = {title[0].upper() + title[1:]: tests for title, tests in ROWS}


def test_every_part_of_the_table_has_its_section_and_tests_that_are_there():
    assert list(TESTS) and set(TESTS) == set(SECTIONS)
    assert all((PAGE.parents[1] / path).is_file() for path in TESTS.values())
    assert all(section.blocks for section in SECTIONS.values())


@pytest.mark.parametrize("title", [*PARTS, "A canvas tool"])
def test_a_part_is_one_file_and_one_line(title: str):
    section = SECTIONS[title]
    assert len(section.files) == 1 and len(section.lines) == 1
    (line,) = section.lines
    assert line.code.count("\n") == 1
    assert len(section.files[0].code.splitlines()) <= 30, "an example fits on a screen"


@pytest.mark.parametrize("section", SECTIONS.values(), ids=list(SECTIONS))
def test_what_an_example_imports_of_ours_is_there(section: ExtendingSection):
    for block in section.blocks:
        if block.language != "python" or block.table:
            continue
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with every example of PARTS, and the reader."""
    tree = copy_of_the_program(tmp_path_factory.mktemp("extended") / "tree")
    for title in PARTS:
        carry_out(SECTIONS[title], tree)
    return tree


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=280)


@pytest.mark.thorough
def test_the_tests_that_the_document_names_run_over_every_example_and_pass(copied: Path):
    files = [TESTS[title] for title in PARTS]
    names = " or ".join(PARTS.values())
    done = python(
        copied, "-m", "pytest", "-rA", "-p", "no:warnings", "-p", "no:cacheprovider", "-k", names, *files
    )
    assert done.returncode == 0, done.stdout[-4000:]
    for name in PARTS.values():
        assert re.search(rf"^PASSED .*\[[\w-]*{name}[\w-]*\]$", done.stdout, re.MULTILINE), (
            f"no test ran over {name}"
        )


def test_the_command_line_takes_the_new_names(copied: Path):
    exported = python(copied, "app.py", "export", "--help")
    assert "stack" in exported.stdout, exported.stderr
    code = "from learners.rankers import RANKERS; from learners import LEARNERS; print(*RANKERS, *LEARNERS)"
    assert {"thickest", "least_entropy"} <= set(python(copied, "-c", code).stdout.split())


def test_the_example_of_an_import_format_reads_pictures_volumes_and_masks_and_refuses_in_a_sentence(
    tmp_path: Path,
):
    tree = copy_of_the_program(tmp_path / "tree")
    section = SECTIONS["An import format"]
    carry_out(section, tree)
    formats = tree / "storage" / "formats" / "__init__.py"
    text = formats.read_text("utf-8")
    formats.write_text(text.replace("import dicom,", "import array, dicom,"), "utf-8")
    code = (
        "import numpy as np; from pathlib import Path; from storage import formats\n"
        "for shape in ((5, 7), (3, 5, 7), (2, 3, 5, 7)):\n"
        "    np.save('a.npy', np.arange(np.prod(shape), dtype=np.uint8).reshape(shape))\n"
        "    try:\n"
        "        scan, (labels, grid) = formats.read(Path('a.npy')), formats.read_labels(Path('a.npy'))\n"
        "        print(scan.pixels.shape, (scan.pixels == labels).all(), grid.shape)\n"
        "    except formats.FileRefused as refused: print(refused)\n"
    )
    done = python(tree, "-c", code)
    assert done.stdout.splitlines() == [
        "(1, 5, 7) True (7, 5, 1)",
        "(3, 5, 7) True (7, 5, 3)",
        "it has 4 dimensions; save a picture or a volume",
    ], done.stderr
    done = python(
        tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "npy", TESTS["An import format"]
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_examples_of_a_route_a_message_a_column_and_a_setting_do_what_they_say(tmp_path: Path):
    """In a process of their own: the migration is added to the real list."""
    parts = [SECTIONS[t].blocks[0].code for t in ("A database column", "A route", "A message", "A setting")]
    ending = """
import json
from pathlib import Path
from fastapi import FastAPI
from starlette.testclient import TestClient
from storage.store import Store
from tests.support.asgi_client import small_workflow
from storage.arrays import SliceRef
from tests.conftest import drawn
import numpy as np
with small_workflow(Path(FOLDER)) as workflow:
    workflow.store.add_label(drawn(SliceRef(1, 0, 4), np.ones((2, 2), np.uint8)))
    router = APIRouter()
    add_counts(router, workflow)
    app = FastAPI()
    app.include_router(router)
    assert TestClient(app).get("/classes/1/count").json() == {"images": 1}
    try:
        images_with(workflow, 7)
        raise AssertionError
    except LookupError:
        pass
    assert reminder_minutes(workflow.store) == 0
    keep_reminder(workflow.store, 20)
    assert reminder_minutes(workflow.store) == 20
    columns = [row[1] for row in workflow.store._db.tables.execute("pragma table_info(images)")]
    assert "note" in columns, columns
assert NoteMessage(t="note", image=1, text="look").text == "look"
print("as it says")
"""
    code = "\n".join([*parts, ending.replace("FOLDER", repr(str(tmp_path)))])
    done = python(PAGE.parents[1], "-c", code)
    assert done.stdout.strip() == "as it says", done.stderr[-3000:]
