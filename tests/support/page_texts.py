"""The texts that people see, taken from the page's scripts and from Python: `python -m tests.support.page_texts`.

A text is a string literal of at least ENOUGH words that reads like language: no selector, no style, no SQL. A
placeholder counts as one word. Comments and docstrings are not collected.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from learners import LEARNERS
from learners.adapt import ADAPTERS
from learners.propagate import PROPAGATORS
from learners.rankers import RANKERS
from models import PROMPT_MODELS
from tests.support.prose import ROOT, lengths, sentences, words

ENOUGH = 4  # words from which a string is a text that people read
SCRIPTS = ROOT / "annotator" / "page" / "static"
PACKAGES = ("annotator", "learners", "models", "storage")
PLACEHOLDER = "X"

_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<name>[\w$]+)"
    r"|(?P<quoted>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<other>.)",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
_ESCAPE = re.compile(r"\\(u\{?[0-9a-fA-F]+\}?|.)", re.DOTALL)
_BEFORE_A_REGEX = frozenset({"return", "typeof", "case", "=>", "", *"=(,:?[!&|{};+>"})
# selectors, markup, styles, drawings, policies and SQL: what programs read
_FOR_PROGRAMS = re.compile(
    r"<\w|[{}]|=\"|\[\w+[=\]]|\d(px|%\s*\))|\brgba?\(|\bvar\(--|\bsystem-ui\b|'self'|=\(\)"
    r"|^(input|button)[,.]\s|^[MXLz\d\s.,-]+$|^[a-z_\d]+( [a-z_\d]+){7,}$"
    r"|^\W*(X )?(select|insert|update \w+ set|delete from|create (table|index)|alter table|with \w+ as)\b"
    r"|\b(order by|group by|is (not )?null|present is)\b"
)


@dataclass(frozen=True)
class Text:
    """A text and where it stands."""

    place: str  # "panels/data.js:12"
    text: str


def page_texts(root: Path = SCRIPTS) -> list[Text]:
    """The texts in the scripts below `root`."""
    paths = sorted(root.rglob("*.js"))
    return [
        Text(f"{path.relative_to(root).as_posix()}:{line}", text)
        for path in paths
        for line, text in script_texts(path.read_text(encoding="utf-8"))
    ]


def python_texts(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> list[Text]:
    """The texts in the Python files of `packages`: titles, reasons, notes and refusals."""
    paths = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    return [
        Text(f"{path.relative_to(root).as_posix()}:{line}", text)
        for path in paths
        for line, text in module_texts(path.read_text(encoding="utf-8"))
    ]


def registry_texts() -> list[Text]:
    """What the page says of every learner, adapter, ranker, propagator and prompt model: good at what, needs what."""
    registries = (LEARNERS, ADAPTERS, RANKERS, PROPAGATORS, PROMPT_MODELS)
    entries = [(name, entry) for registry in registries for name, entry in registry.items()]
    said = [Text(f"{name}: good at", f"{entry.good_at}.") for name, entry in entries]
    return said + [Text(f"{name}: needs", f"Needs {e.needs}.") for name, e in LEARNERS.items() if e.needs]


def script_texts(script: str) -> list[tuple[int, str]]:
    """Line and text of each literal of a script that people read; literals joined by + are one."""
    return [(line, text) for line, text in _joined(_literals(script)) if is_text(text)]


def module_texts(source: str) -> list[tuple[int, str]]:
    """The same of a Python module; its docstrings are left out."""
    tree = ast.parse(source)
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) or id(node) not in inside)
    found = (
        (node.lineno, _python_text(node)) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)
    )
    return [(line, text) for line, text in found if is_text(text)]


def is_text(text: str) -> bool:
    return words(text) >= ENOUGH and not _FOR_PROGRAMS.search(text)


def _python_text(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(
        _python_text(part) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values
    )


@dataclass(frozen=True)
class _Literal:
    start: int
    end: int
    line: int
    text: str
    is_joined: bool  # nothing but a + stands between it and the literal before


def _joined(literals: Iterable[_Literal]) -> Iterator[tuple[int, str]]:
    line, text = 0, ""
    for literal in literals:
        if literal.is_joined:
            text += literal.text
            continue
        yield line, text
        line, text = literal.line, literal.text
    yield line, text


def _literals(script: str) -> list[_Literal]:
    """Every string and template literal in order; those inside a template's placeholders come after it."""
    found: list[_Literal] = []
    _scan(script, 0, found, in_template=False)
    return found


def _scan(script: str, at: int, found: list[_Literal], *, in_template: bool) -> int:
    """Read code from `at` to its end, or to the } that closes a placeholder; where it ended."""
    depth, before, last = 0, "", ["", ""]  # the last two tokens tell whether only a + stands between literals
    while at < len(script):
        if script[at] == "/" and not script.startswith(("//", "/*"), at) and before in _BEFORE_A_REGEX:
            match = _REGEX.match(script, at)
            if match:
                at, before, last = match.end(), "regex", [last[1], "regex"]
                continue
        if script[at] == "`":
            text, end, inner = _template(script, at)
            found.append(_Literal(at, end, script.count("\n", 0, at) + 1, text, last == ["literal", "+"]))
            found.extend(inner)
            at, before, last = end, "literal", [last[1], "literal"]
            if inner:
                last = ["", ""]
            continue
        match = _TOKEN.match(script, at)
        assert match
        token = match.group()
        at = match.end()
        if match["space"]:
            continue
        if match["quoted"]:
            line = script.count("\n", 0, match.start()) + 1
            text = _ESCAPE.sub(_unescaped, token[1:-1])
            found.append(_Literal(match.start(), at, line, text, last == ["literal", "+"]))
            token = "literal"
        elif token == "{":
            depth += 1
        elif token == "}":
            if in_template and depth == 0:
                return at
            depth -= 1
        before, last = token, [last[1], token]
    return at


def _template(script: str, at: int) -> tuple[str, int, list[_Literal]]:
    """The template literal at `at`: its text, where it ends, and the literals in its placeholders."""
    text, inner = "", list[_Literal]()
    at += 1
    while script[at] != "`":
        if script[at] == "\\":
            text, at = text + script[at + 1], at + 2
        elif script.startswith("${", at):
            text, at = text + PLACEHOLDER, _scan(script, at + 2, inner, in_template=True)
        else:
            text, at = text + script[at], at + 1
    return text, at + 1, inner


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) > 1:
        return chr(int(code[1:].strip("{}"), 16))
    return {"n": "\n", "t": "\t"}.get(code, code)


def table(texts: Iterable[Text]) -> str:
    """How many texts and sentences there are, the share of short and long ones, and the longest."""
    texts = list(texts)
    measured = lengths(each.text for each in texts)
    longest = max(
        ((words(one), each) for each in texts for one in sentences(each.text)), key=lambda pair: pair[0]
    )
    return (
        f"{len(texts)} texts, {len(measured.words)} sentences, {measured.short_share:.0%} short, "
        f"{measured.long_share:.1%} long, longest {longest[0]}: {longest[1].place}"
    )


if __name__ == "__main__":
    for name, all_of_them in (
        ("page", page_texts()),
        ("python", python_texts()),
        ("registries", registry_texts()),
    ):
        print(name, table(all_of_them))
