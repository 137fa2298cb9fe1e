"""Which files of an import to be have the pixels of another image. Reads as few of them as it can."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from annotator.exchange.copies import COMES, KnownPixels, Likeness, Original, PixelFacts
from annotator.exchange.import_items import ImportItem, named_scans, series_name
from annotator.exchange.import_plan import ImportPlan, ProjectFacts, sources_of
from annotator.exchange.matching import bare_name
from annotator.exchange.reading import READERS
from storage import formats
from storage.formats import FileRefused

Size3 = tuple[int, int, int]  # (z, y, x)
MOST_VOXELS = (
    300_000_000  # read for this in one look, about a minute's worth; the import itself reads them all
)
ENDS = 1 << 20  # bytes at the ends of files of one size that are compared before the whole is


@dataclass
class Copies:
    """By the number of the item in the import."""

    by_item: dict[int, Likeness] = field(default_factory=dict)
    unread: int = 0  # files that could be copies and were not compared


def find_copies(plan: ImportPlan, facts: ProjectFacts, sizes: Mapping[int, Size3]) -> Copies:
    """`sizes`: of the items that can be read. What the project knows by its path is none."""
    here = {image.source for image in facts.images}
    new = [number for number in sizes if plan.sight.shown(plan.items[number].origin) not in here]
    copies = Copies()
    _of_the_import(plan, new, copies)
    _of_the_project(plan, facts, {number: sizes[number] for number in new}, copies)
    return copies


def _of_the_import(plan: ImportPlan, new: Sequence[int], copies: Copies) -> None:
    """Files of the same bytes; of each the first is the one that the others are like."""
    items = {number: plan.items[number] for number in new}
    single = {n: item.files[0] for n, item in items.items() if item.series is None and not item.channels}
    for numbers in _same_bytes(plan, single):
        first = plan.sight.shown(single[numbers[0]])
        for number in numbers[1:]:
            copies.by_item[number] = Likeness(Original(first, first, 0), COMES)


def _same_bytes(plan: ImportPlan, files: dict[int, Path]) -> Iterator[list[int]]:
    sizes: dict[int, list[int]] = defaultdict(list)
    for number, path in files.items():
        sizes[path.stat().st_size if path.exists() else -number].append(number)
    for many in sizes.values():
        for alike in _grouped(plan, files, many, whole=False):
            yield from _grouped(plan, files, alike, whole=True)


def _grouped(plan: ImportPlan, files: dict[int, Path], numbers: list[int], *, whole: bool) -> list[list[int]]:
    if len(numbers) < 2:
        return []
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number in numbers:
        plan.sight.job.check()
        groups[_content(files[number], whole=whole)].append(number)
    return [group for group in groups.values() if len(group) > 1]


def _content(path: Path, *, whole: bool) -> bytes:
    """A fingerprint of a file, or of its two ends."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as file:
            if whole:
                while block := file.read(ENDS):
                    digest.update(block)
            else:
                digest.update(file.read(ENDS))
                file.seek(max(ENDS, path.stat().st_size - ENDS))
                digest.update(file.read(ENDS))
    except OSError:
        digest.update(str(path).encode())  # its own line says why it cannot be read
    return digest.digest()


def _of_the_project(
    plan: ImportPlan, facts: ProjectFacts, sizes: Mapping[int, Size3], copies: Copies
) -> None:
    names: dict[Size3, set[str]] = defaultdict(set)
    for image in facts.images:
        names[image.shape].add(bare_name(PurePosixPath(image.source or image.name).name))
    suspects = [number for number, size in sizes.items() if size in names]
    suspects.sort(key=lambda n: bare_name(plan.items[n].origin.name) not in names[sizes[n]])
    chosen = list(_affordable(suspects, sizes))
    copies.unread = len(suspects) - len(chosen)
    known = KnownPixels(facts.images, facts.copies, sources_of(plan))
    for number, pixels in _read(plan, chosen):
        if likeness := known.like(pixels):
            copies.by_item[number] = likeness


def _affordable(suspects: Sequence[int], sizes: Mapping[int, Size3]) -> Iterator[int]:
    left = MOST_VOXELS
    for number in suspects:
        z, y, x = sizes[number]
        left -= z * y * x
        if left < 0:
            return
        yield number


def _read(plan: ImportPlan, numbers: Sequence[int]) -> Iterator[tuple[int, PixelFacts]]:
    """Pictures several at once; volumes one after the other, as two may not fit into memory."""
    at_once = READERS if all(plan.items[number].kind == "picture" for number in numbers) else 1
    with ThreadPoolExecutor(at_once, "comparing") as pool:
        for number, found in zip(
            numbers, pool.map(lambda n: _facts(plan, plan.items[n]), numbers), strict=True
        ):
            plan.sight.job.check()
            plan.sight.job.report("comparing with images that are here", number, len(plan.items))
            yield from ((number, facts) for facts in found)


def _facts(plan: ImportPlan, item: ImportItem) -> list[PixelFacts]:
    try:
        if item.series is None:
            return [PixelFacts.of(scan) for scan in named_scans(plan.sight, item)]
        source = series_name(plan.sight, item)[1]
        return [PixelFacts.of(replace(scan, source=source)) for scan, _ in formats.read_series(item.series)]
    except FileRefused:
        return []
