"""How long the sentences of the documents are: `python -m tests.support.prose` prints a table, one line a document."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT, LONG = 14, 35  # words
FRAGMENT = 3  # fewer words are a label such as "In short.", no sentence

_FENCE = re.compile(r"^\s*(```|~~~)")
# headings, table rows, pictures, rules
_SKIPPED = re.compile(r"^\s*(#{1,6}\s|\||!\[|<!--|(-{3,}|={3,})\s*$)")
_ITEM = re.compile(r"^\s*([-*+]|\d+[.)])\s+")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|et al|etc|vs|cf|approx)\.(?=\s)", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[)\"'*_]*\s+(?=[\"'(*_`]*[A-Z0-9])")
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Lengths:
    """Words of every sentence of one document or several."""

    words: tuple[int, ...]

    @property
    def short_share(self) -> float:
        """The share of sentences with at most SHORT words; 1 where there is no sentence."""
        return sum(n <= SHORT for n in self.words) / len(self.words) if self.words else 1.0

    @property
    def long_share(self) -> float:
        """The share of sentences with more than LONG words."""
        return sum(n > LONG for n in self.words) / len(self.words) if self.words else 0.0


def documents(root: Path = ROOT) -> list[Path]:
    """Every document that people read, the ones at the root first."""
    named = [root / name for name in ("README.md", "CONTEXT.md", "CHANGELOG.md")]
    return [*named, *sorted((root / "docs").rglob("*.md")), root / "models" / "clicknet" / "card.md"]


def lengths(texts: Iterable[str]) -> Lengths:
    return Lengths(tuple(words(sentence) for text in texts for sentence in sentences(text)))


def sentences(markdown: str) -> list[str]:
    """The sentences of its prose: neither code blocks nor tables, headings, pictures and addresses."""
    found = (one for block in _blocks(markdown) for one in _split(_plain(block)))
    return [one for one in found if words(one) >= FRAGMENT]


def words(sentence: str) -> int:
    return sum(bool(_WORD.search(word)) for word in sentence.split())


def _blocks(markdown: str) -> Iterator[str]:
    """Paragraphs and list items, each as one line."""
    block: list[str] = []
    in_fence = in_item = False
    for line in markdown.splitlines():
        if _FENCE.match(line):
            in_fence = not in_fence
            continue
        starts_item = bool(_ITEM.match(line))
        is_code = in_fence or (line.startswith("    ") and not in_item and not block and not starts_item)
        breaks = not line.strip() or is_code or bool(_SKIPPED.match(line))
        if (breaks or starts_item) and block:
            yield " ".join(block)
            block = []
        if not breaks:
            block.append(_ITEM.sub("", line).strip())
        in_item = starts_item or (in_item and (not line.strip() or line.startswith(" ")))
    if block:
        yield " ".join(block)


def _plain(block: str) -> str:
    """Without marks: a link is its text, a code span one word, an address none."""
    block = re.sub(r"`+[^`]*`+", "Code", block)
    block = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", block)
    block = re.sub(r"<?https?://\S+", "", block)
    return _ABBREVIATION.sub(r"\1", block)


def _split(block: str) -> list[str]:
    return [part.strip() for part in _END.split(block) if part.strip()]


def table(paths: Iterable[Path], root: Path = ROOT) -> str:
    """Sentences, the share of short and long ones, and the longest; the last line is all of them together."""
    rows = [(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    lines = [f"{'document':32} sentences  <= {SHORT} words  > {LONG} words  longest"]
    for name, measured in [*((n, lengths([t])) for n, t in rows), ("all", lengths(t for _, t in rows))]:
        shares = f"{measured.short_share:12.0%}  {measured.long_share:10.1%}"
        lines.append(f"{name:32} {len(measured.words):9}  {shares}  {max(measured.words, default=0):7}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(documents()))
