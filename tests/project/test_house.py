"""The house is in order: small folders and files, a first line in each that says what it is, one name for one thing.

The allow lists only shrink: an entry that is no longer needed fails, and goes.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.conftest import ROOT

PRODUCT = ("annotator", "learners", "models", "slicewise", "storage")
CODE = {".py", ".js", ".css", ".html"}
GIVEN = (ROOT / "tests" / "support" / "vendor",)  # written by others
MAX_FILES = 20
MAX_TESTS = 22  # in a folder of tests: one for each learner, and __init__
MAX_LINES = {".py": 450, ".js": 450, ".css": 300}

LONG = {  # to be split
    "tests/annotator/web/test_websocket.py",
    "tests/learners/test_propagate.py",
    "tests/learners/test_reference.py",
    "tests/page/canvas/test_canvas_engine.py",
    "tests/page/test_workspace.py",
    "tests/storage/test_formats.py",
}
TWICE: set[str] = set()  # to be renamed or joined


def files(*folders: str, suffixes: Iterable[str] = CODE) -> Iterator[Path]:
    """Every file of code that is ours below these folders of the root."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            ours = "__pycache__" not in path.parts and not any(path.is_relative_to(g) for g in GIVEN)
            if ours and path.is_file() and path.suffix in suffixes:
                yield path


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_folder_holds_more_files_than_a_reader_takes_in():
    counts = Counter(path.parent for path in files(*PRODUCT, "tests"))
    assert counts
    full = {
        named(folder): count
        for folder, count in counts.items()
        if count > (MAX_TESTS if named(folder).startswith("tests/") else MAX_FILES)
    }
    assert not full


def test_the_first_line_of_a_package_says_what_lives_there():
    packages = [path for path in files(*PRODUCT, "benchmarks", "tests") if path.name == "__init__.py"]
    assert len(packages) > 40
    silent = [named(p) for p in packages if not first_sentence(p)]
    assert not silent


def first_sentence(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").partition("\n")[0].strip()


def test_every_folder_of_python_is_a_package():
    folders = {path.parent for path in files(*PRODUCT, "benchmarks", "tests", suffixes={".py"})}
    assert not [named(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_the_first_line_of_a_script_says_what_it_is():
    scripts = list(files(*PRODUCT, "tests", suffixes={".js"}))
    assert len(scripts) > 40
    silent = [named(p) for p in scripts if not p.read_text(encoding="utf-8").startswith(("//", "/*"))]
    assert not silent


def test_a_file_holds_one_idea_and_so_few_lines():
    code = [*files(*PRODUCT, "benchmarks", "tests"), ROOT / "app.py", ROOT / "start.py"]
    lines = {named(p): (len(p.read_text(encoding="utf-8").splitlines()), p.suffix) for p in code}
    long = {name for name, (count, suffix) in lines.items() if count > MAX_LINES.get(suffix, count)}
    assert not long - LONG, "too long; look for the second idea"
    assert not LONG - long, "no longer too long: take it off the list"


def test_a_class_or_alias_is_defined_in_one_file():
    where = defaultdict(set)
    for path in files(*PRODUCT, suffixes={".py"}):
        for name in types_in(path):
            where[name].add(named(path))
    twice = {name: sorted(paths) for name, paths in where.items() if len(paths) > 1}
    assert not {name: paths for name, paths in twice.items() if name not in TWICE}
    assert not TWICE - twice.keys(), "defined once by now: take it off the list"


def types_in(module: Path) -> Iterator[str]:
    """Names of the classes and type aliases at the top of a module; type variables belong to their module."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if (
                isinstance(target, ast.Name)
                and looks_like_a_type(target.id)
                and not is_type_variable(node.value)
            ):
                yield target.id


def looks_like_a_type(name: str) -> bool:
    bare = name.lstrip("_")
    return bare[:1].isupper() and not bare.isupper()


def is_type_variable(value: ast.expr | None) -> bool:
    made_by = value.func if isinstance(value, ast.Call) else None
    return isinstance(made_by, ast.Name) and made_by.id in ("TypeVar", "ParamSpec")
