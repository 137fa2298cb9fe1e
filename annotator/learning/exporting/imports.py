"""Which modules a program of ours needs, found in the source by walking its imports; nothing is imported."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OURS = ("annotator", "learners", "models", "storage")


@dataclass(frozen=True)
class Needed:
    """By the names under which they are imported."""

    ours: dict[str, Path]  # module -> its file; the packages around it are among them
    others: frozenset[str]  # top-level modules of other people, without the standard library


def needed_by(entry: str) -> Needed:
    """What importing this module may ever import, inside functions too; what only type checkers see is no need."""
    ours: dict[str, Path] = {}
    others: set[str] = set()
    left = [entry]
    while left:
        name = left.pop()
        if name.split(".")[0] not in OURS:
            others.add(name.split(".")[0])
            continue
        for package in _with_parents(name):
            file = file_of(package)
            if file is not None and package not in ours:
                ours[package] = file
                left += _imports(ast.parse(file.read_text(encoding="utf-8")))
    return Needed(dict(sorted(ours.items())), frozenset(others - set(sys.stdlib_module_names)))


def file_of(module: str) -> Path | None:
    """None where it is no module, but a name in one."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if _is_ours(node.module))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from (name for part in node.orelse for name in _imports(ast.Module([part], [])))
        else:
            yield from _imports(node)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in OURS
