"""A plan of an import as people see it before it happens: images, masks, values, what is left out, warnings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from annotator.exchange.changed_header import difference
from annotator.exchange.copies import Original
from annotator.exchange.import_items import ImportItem
from annotator.exchange.import_plan import ImportPlan, MaskFamily, ProjectFacts, source_of
from annotator.exchange.look_copies import Copies, find_copies
from annotator.exchange.masks.earlier import imported_labels, origin_of, same_origin, told
from annotator.exchange.masks.events import ImportedBefore, foresee
from annotator.exchange.masks.files import MaskChoice
from annotator.exchange.masks.object_classes import told as told_of_objects
from annotator.exchange.masks.survey import hex_colour, is_colour
from learners.text import count_of
from storage import formats
from storage.classes import PALETTE
from storage.formats import FileRefused, Look
from storage.formats.base import PartOfAnother
from storage.rows import ClassRow, ImageRow

THIN = 10.0  # times: a voxel that is so much longer than wide is worth a warning
SMALL_MM, LARGE_MM = 1e-4, 50.0  # spacings beyond these are rare
NO_SPACING = "it does not say how large its voxels are"
MOST_VALUES = 300  # shown of a family; masks of more values number objects


@dataclass(frozen=True)
class SeenImage:
    """One image to be."""

    name: str
    kind: str  # "picture", "volume", or "" where it cannot be read
    size: tuple[int, int, int] | None  # (z, y, x)
    spacing_mm: tuple[float, float, float] | None
    orientation: str  # where the axes of the file run to, as "LPS"; "" where it does not say
    mask: str  # "" for none
    why: str  # this mask
    warnings: tuple[str, ...] = ()
    header: str = ""  # how the header of an image that is there already has changed
    earlier: str = ""  # what becomes of the labels of earlier imports
    like: str = ""  # another image that has the same pixels
    taken: bool = False  # as that image, as things stand


@dataclass(frozen=True)
class SeenValue:
    """What a value of a family of masks would mean."""

    value: int
    shown: str  # the value, or the colour that it is
    kind: str  # "class", "void" or "background"
    name: str
    color: str
    files: int  # in which it occurs
    known: bool  # whether the project has the class already


@dataclass(frozen=True)
class StagedImport:
    """What was looked at and waits for a word."""

    plan: ImportPlan
    look: "ImportLook"


@dataclass(frozen=True)
class SeenMasks:
    """Masks whose values mean the same."""

    files: int
    first: str
    tables: tuple[str, ...]
    objects: bool
    values: tuple[SeenValue, ...]
    notes: tuple[str, ...]
    question: str


@dataclass
class ImportLook:
    images: list[SeenImage]
    masks: list[SeenMasks]
    left_out: list[str]
    passed: list[str]
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """All but the images, of which there may be many."""
        return {
            "total": len(self.images),
            "with_mask": sum(bool(image.mask) for image in self.images),
            "masks": [asdict(family) for family in self.masks],
            "left_out": self.left_out,
            "passed": self.passed,
            "warnings": self.warnings,
            "headers": sum(bool(image.header) for image in self.images),
            "alike": sum(bool(image.like) for image in self.images),
            "taken": sum(image.taken for image in self.images),
        }


def look_at(plan: ImportPlan, facts: ProjectFacts) -> ImportLook:
    """Reads the headers of all images, and what may be copies. What `plan` refused is among what is left out."""
    headers = dict(_headers(plan))
    sizes = {n: read[0].grid.display_shape for n, read in headers.items() if isinstance(read, list) and read}
    project = _Project(facts, find_copies(plan, facts, sizes))
    images = [seen for number, header in headers.items() for seen in _images(plan, number, header, project)]
    masks = [_seen_masks(plan, family, facts.classes) for family in plan.families]
    sight = plan.sight
    lonely = [f"{sight.shown(path)}: {reason}" for path, reason in sorted(plan.masks.left_out)]
    left_out = [*sight.refused, *plan.problems, *lonely]
    passed = [sight.shown(path) for path in sight.passed]
    return ImportLook(images, masks, left_out, passed, list(_warnings(images, project.copies.unread)))


class _Project:
    """What is there already."""

    def __init__(self, facts: ProjectFacts, copies: Copies) -> None:
        self.facts, self.copies = facts, copies
        self._by_source = {image.source: image for image in facts.images if image.source}
        self._by_id = {image.id: image for image in facts.images}

    def image(self, source: str, original: Original | None) -> ImageRow | None:
        """The image that a file is: by its path, or as a copy of `original`."""
        if original is None:
            return self._by_source.get(source)
        return self._by_id.get(original.slot) if isinstance(original.slot, int) else None


def _headers(plan: ImportPlan) -> Iterator[tuple[int, list[Look] | FileRefused]]:
    for number, item in enumerate(plan.items):
        plan.sight.job.check()
        plan.sight.job.report("looking at images", number, len(plan.items))
        try:
            yield number, _looks(item)
        except PartOfAnother:
            continue
        except FileRefused as refusal:
            yield number, refusal


def _looks(item: ImportItem) -> list[Look]:
    if item.channels:
        return [item.channels.look()]
    return formats.look_at_series(item.series) if item.series else [formats.look(item.files[0])]


def _images(
    plan: ImportPlan, number: int, header: list[Look] | FileRefused, project: _Project
) -> Iterator[SeenImage]:
    item, choice = plan.items[number], plan.masks.by_item.get(number)
    mask = plan.sight.shown(choice.mask.path) if choice else ""
    name = plan.sight.shown_item(item)
    if isinstance(header, FileRefused):
        yield SeenImage(name, "", None, None, "", "", "", (f"left out: {header}",))
        return
    like = project.copies.by_item.get(number)
    taken = like is not None and like.is_same(plan.request.copies)
    for look in header:
        seen = _seen(name, look, mask, choice.why if choice else "")
        before = project.image(name, like.original if like and taken else None)
        if before is not None and item.series is None:
            says_less = taken and look.grid.spacing_mm is None
            changed = "" if says_less else difference(before, look.grid)
            earlier = _earlier(plan, choice, before, project.facts)
            seen = replace(seen, header=changed, earlier=earlier)
        yield replace(seen, like=like.fact if like else "", taken=taken)


def _earlier(plan: ImportPlan, choice: MaskChoice | None, row: ImageRow, facts: ProjectFacts) -> str:
    """What the mask of a known image does to labels that were imported before, as the values are proposed."""
    meaning = plan.meanings.get(choice.mask.path) if choice else None
    if choice is None or meaning is None or row.id not in facts.imported:
        return ""
    source, before = source_of(plan, choice.mask), imported_labels(facts.labels(row.id))
    if all(same_origin(origin_of(label), source.origin) for label in before):
        return "where it has changed, its mask replaces what it said before"  # known without reading it
    image = ImportedBefore(row, before, {c.name: c.id for c in facts.classes})
    try:
        return told(foresee(image, source, meaning))
    except FileRefused as refusal:
        return f"its mask is left out: {refusal}"


def _seen(name: str, look: Look, mask: str, why: str) -> SeenImage:
    grid = look.grid
    size, spacing = grid.display_shape, grid.spacing_mm
    volume = size[0] > 1
    warnings = (*look.remarks, *_odd_spacing(spacing, volume=volume))
    return SeenImage(name, "volume" if volume else "picture", size, spacing, grid.codes, mask, why, warnings)


def _odd_spacing(spacing: tuple[float, float, float] | None, *, volume: bool) -> Iterator[str]:
    if spacing is None:
        if volume:
            yield NO_SPACING
        return
    low, high = min(spacing), max(spacing)
    if not SMALL_MM <= low <= high <= LARGE_MM:
        yield f"its voxels are {low:g} to {high:g} mm wide, which is unusual"
    elif volume and high / low > THIN:
        yield f"its voxels are {high / low:.0f} times longer than wide"


def _warnings(images: Sequence[SeenImage], unread: int) -> Iterator[str]:
    """About many images at once. `unread`: those that were not compared with the project's."""
    if unread:
        yield (
            f"{count_of(unread, 'file')} {'has' if unread == 1 else 'have'} the size of images that are here and "
            "were not compared with them; the import does it"
        )
    volumes = [image for image in images if image.kind == "volume"]
    without = sum(image.spacing_mm is None for image in volumes)
    if without:
        yield f"{without} of {len(volumes)} volumes do not say how large their voxels are"
    turns = Counter(image.orientation for image in volumes)
    if len(turns) > 1:
        told = ", ".join(f"{count} {letters or 'unknown'}" for letters, count in turns.most_common(5))
        yield f"volumes lie in different orientations: {told}"
    refused = sum(not image.kind for image in images)
    if refused:
        yield f"{count_of(refused, 'file')} cannot be read and {'is' if refused == 1 else 'are'} left out"


def _seen_masks(plan: ImportPlan, family: MaskFamily, classes: Sequence[ClassRow]) -> SeenMasks:
    meaning = family.meaning
    counts = Counter(value for one in family.surveys for value in one.present)
    return SeenMasks(
        files=len(family.surveys),
        first=plan.sight.shown(family.surveys[0].path),
        tables=meaning.names.tables,
        objects=meaning.objects,
        values=tuple(_values(family, counts, classes)),
        notes=(*family.notes, *meaning.notes, *_to_number(plan, family, classes)),
        question=meaning.question,
    )


def _to_number(plan: ImportPlan, family: MaskFamily, classes: Sequence[ClassRow]) -> Iterator[str]:
    """Which classes these masks make classes of objects."""
    paths = {one.path for one in family.surveys}
    chosen = [choice.mask for choice in plan.masks.by_item.values() if choice.mask.path in paths]
    known = {row.name for row in classes if row.objects}
    said = (family.meaning.of(one.path, value) for one in family.surveys for value in one.present)
    areas = sorted({one.name for one in said if one.kind == "class"} - known)
    if areas and (family.meaning.objects or any(mask.objects for mask in chosen)):
        yield told_of_objects(areas)


def _values(family: MaskFamily, counts: Counter[int], classes: Sequence[ClassRow]) -> Iterator[SeenValue]:
    colors, known = {row.name: row.color for row in classes}, {row.name for row in classes}
    for value in [0, *sorted(counts)][: MOST_VALUES + 1]:
        said = family.meaning.values.get(value)
        if value == 0 and said is None:
            continue
        kind, name = (said.kind, said.name) if said else ("class", "")
        if kind == "class":
            proposed = said.color if said else None
            colors.setdefault(name, proposed or PALETTE[len(colors) % len(PALETTE)])
        files = counts[value] or len(family.surveys)
        shown = hex_colour(value) if is_colour(value) else str(value)
        yield SeenValue(value, shown, kind, name, colors.get(name, ""), files, name in known)
