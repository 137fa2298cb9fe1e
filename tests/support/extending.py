"""The examples of docs/extending.md, and a copy of the program in which they are carried out."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"
COPIED = ("annotator", "learners", "models", "storage", "tests", "docs", "app.py", "pyproject.toml")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"^(?:#|//) ([\w./]+)(?:, in (\w+)(?:, after (\w+))?)?\n")


@dataclass(frozen=True)
class CodeBlock:
    """A block of code: a whole file, a line of a table, or neither."""

    language: str
    code: str
    path: str = ""  # of the file that it is, or that has the table
    table: str = ""
    after: str = ""  # the entry of the table that it follows; "": the last one


@dataclass(frozen=True)
class ExtendingSection:
    title: str
    blocks: tuple[CodeBlock, ...]

    @property
    def files(self) -> list[CodeBlock]:
        return [block for block in self.blocks if block.path and not block.table]

    @property
    def lines(self) -> list[CodeBlock]:
        return [block for block in self.blocks if block.table]


def sections() -> dict[str, ExtendingSection]:
    """What the document has under each heading."""
    _, *parts = _SECTION.split(PAGE.read_text(encoding="utf-8"))
    pairs = zip(parts[::2], parts[1::2])
    return {
        title: ExtendingSection(title, tuple(_block(*found) for found in _FENCE.findall(text)))
        for title, text in pairs
    }


def _block(language: str, code: str) -> CodeBlock:
    place = _PLACE.match(code)
    if place is None:
        return CodeBlock(language, code)
    return CodeBlock(language, code[place.end() :], place[1], place[2] or "", place[3] or "")


def copy_of_the_program(target: Path) -> Path:
    """Everything that is needed to run it and its tests; the large files of weights are the same ones."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, target / name)
        else:
            ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
    for path in (ROOT / "models").rglob("*.safetensors"):
        (target / path.relative_to(ROOT)).symlink_to(path)
    return target


def carry_out(section: ExtendingSection, tree: Path) -> None:
    """Do what a section says: write its file, add its line."""
    for block in section.files:
        path = tree / block.path
        assert not path.exists(), f"{block.path} is there already; choose another name for the example"
        path.write_text(block.code, encoding="utf-8")
    for block in section.lines:
        path = tree / block.path
        path.write_text(_with_line(path.read_text(encoding="utf-8"), block), encoding="utf-8")


def _with_line(text: str, block: CodeBlock) -> str:
    """The text of a file with one more entry in one of its tables."""
    lines = text.splitlines(keepends=True)
    opening = re.compile(rf"(?:export const )?{block.table}\b.*[{{]$")
    start = next(i for i, line in enumerate(lines) if opening.match(line.rstrip("\n")))
    end = next(i for i, line in enumerate(lines) if i > start and re.match(r"\}", line))
    if block.after:
        entry = next(i for i in range(start, end) if lines[i].startswith(f"  {block.after}:"))
        end = entry + 1
    return "".join([*lines[:end], block.code, *lines[end:]])
