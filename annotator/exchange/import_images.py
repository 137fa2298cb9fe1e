"""Folders and files into a project: images first, then the masks that belong to them. Bad files cost one line each."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from annotator.exchange.changed_header import TURNED, difference, turned
from annotator.exchange.copies import KnownPixels, Original, PixelFacts
from annotator.exchange.import_plan import (
    ImportPlan,
    ImportRequest,
    facts_of,
    plan_import,
    refuse_masks,
    source_of,
    sources_of,
)
from annotator.exchange.masks.earlier import taken_over
from annotator.exchange.masks.events import import_mask
from annotator.exchange.masks.meaning import ValueChoices
from annotator.exchange.reading import ReadItem, is_full, read_items
from annotator.jobs import Job
from annotator.labels.turned.images import turn_image
from annotator.labels.turned.turn import shown_anew
from learners.text import count_of
from storage.formats import FileRefused, grid_of_image
from storage.image_sources import digest_of
from storage.rows import ImageRow
from storage.scan import Scan
from storage.store import Store

MOST_ALIKE = 20  # lines about files with the same pixels
NAMED = 3  # files that are no images, in the one line about an import


@dataclass(frozen=True)
class ImportReport:
    """What became of an import."""

    added: tuple[int, ...]  # new images
    refused: tuple[str, ...]  # one line for each thing left out
    known: int = 0  # images that were there already
    labelled: tuple[int, ...] = ()  # images that got labels from masks, new or not
    passed: tuple[str, ...] = ()  # files that go with images and are none, such as notes and tables
    notes: tuple[str, ...] = ()  # what was decided and is worth a line
    replaced: int = 0  # images whose labels of an earlier import were taken back for newer ones
    changed: tuple[int, ...] = ()  # images that took a new header
    copies: int = 0  # files that were taken as images of other files with the same pixels
    turned: Mapping[int, int] = field(default_factory=dict)  # images -> the same, as a new header shows them

    @property
    def message(self) -> str:
        parts = [f"{len(self.added)} imported"]
        if self.labelled:
            parts.append(f"{count_of(len(self.labelled), 'mask')} as labels")
        if self.replaced:
            parts.append(f"{self.replaced} of them in place of earlier ones")
        if self.known:
            parts.append(f"{self.known} there already")
        if self.copies:
            parts.append(f"{self.copies} with the pixels of another image and taken as it")
        if self.changed or self.turned:
            parts.append(f"{len(self.changed) + len(self.turned)} with a new header")
        if self.refused:
            parts.append(f"{len(self.refused)} left out")
        return ", ".join(parts) + self._passed

    @property
    def _passed(self) -> str:
        if not self.passed:
            return ""
        more = f" and {len(self.passed) - NAMED} more" if len(self.passed) > NAMED else ""
        return f", {len(self.passed)} no image: {', '.join(self.passed[:NAMED])}{more}"


@dataclass
class ImportRun:
    """One import under way; thrown away at its end."""

    store: Store
    plan: ImportPlan
    batch: str = field(default_factory=lambda: secrets.token_hex(8))  # its name in the labels that it makes
    added: list[int] = field(default_factory=list)
    known: int = 0
    labelled: list[int] = field(default_factory=list)
    replaced: int = 0
    notes: list[str] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    turned: dict[int, int] = field(default_factory=dict)  # images -> the same, as a new header shows them
    unsure: set[int] = field(default_factory=set)  # items that are asked about again: a new header, or a copy
    fresh: dict[str, Scan] = field(
        default_factory=dict
    )  # new images of the batch under way, by their digests
    originals: list[Original] = field(default_factory=list)  # the same
    taken: dict[str, int | Scan] = field(default_factory=dict)  # files of the batch that are copies of these
    copies: int = 0
    alike: list[str] = field(default_factory=list)  # a line for each file with the pixels of another one

    def __post_init__(self) -> None:
        images, copies = self.store.images(limit=-1)[1], self.store.sources.copies()
        self.pixels = KnownPixels(images, copies, sources_of(self.plan))

    def refuse(self, line: str) -> None:
        self.plan.sight.refuse(line)


def import_path(
    store: Store, path: Path, job: Job, *, labels: Path | None = None, objects: bool | None = None
) -> ImportReport:
    """Import a file or every file below a folder; running it again adds only what is missing.

    Masks: those in a folder `labels` beside `images`, or `labels`, a file or folder. `objects` says whether mask
    values number objects (True) or name classes (False); None decides by the values. Raises StorageFull.
    """
    values = ValueChoices(objects)
    request = ImportRequest(path.resolve(), labels.resolve() if labels else None, values)
    return carry_out(store, plan_import(facts_of(store), request, job))


def carry_out(store: Store, plan: ImportPlan) -> ImportReport:
    """Do what was planned. Raises StorageFull."""
    run, job, items = ImportRun(store, plan), plan.sight.job, plan.items
    for line in plan.problems:
        run.refuse(line)
    batch: list[ReadItem] = []
    for read in read_items(plan, store.sources.files()):
        if job.cancelled:
            break
        job.report("importing", read.number, len(items), plan.sight.shown(read.item.origin))
        batch.append(read)
        if is_full(batch):
            _import_batch(run, batch)
            batch = []
    _import_batch(run, batch)
    store.sources.note_pixels(run.pixels.noted)
    if not job.cancelled:
        refuse_masks(plan)
    report = _report(run)
    job.report("importing", len(items), len(items), report.message)
    return report


def _report(run: ImportRun) -> ImportReport:
    sight = run.plan.sight
    return ImportReport(
        added=tuple(run.added),
        refused=tuple(sight.refused),
        known=run.known,
        labelled=tuple(run.labelled),
        passed=tuple(sight.shown(path) for path in sight.passed),
        notes=(*run.plan.notes, *run.notes, *_some(run.alike)),
        replaced=run.replaced,
        changed=tuple(run.changed),
        copies=run.copies,
        turned=run.turned,
    )


def _some(lines: list[str]) -> list[str]:
    """As many as people read: a folder may hold thousands of blank frames."""
    more = len(lines) - MOST_ALIKE
    return lines if more <= 0 else [*lines[:MOST_ALIKE], f"so it is with {count_of(more, 'more file')}"]


def _import_batch(run: ImportRun, batch: list[ReadItem]) -> None:
    """Images first, all that are new together; then the masks that belong to them."""
    slots = {read.number: _slots(run, read) for read in batch}
    ids = run.store.add_images(run.fresh) if run.fresh else []
    added = {id(scan): image_id for scan, image_id in zip(run.fresh.values(), ids, strict=True)}
    for original, image_id in zip(run.originals, ids, strict=True):
        original.slot = image_id
    run.added += ids
    taken = {path: added[id(one)] if isinstance(one, Scan) else one for path, one in run.taken.items()}
    run.store.sources.note_copies(taken)
    run.fresh, run.originals, run.taken = {}, [], {}
    files: dict[bytes, int] = {}
    for read in batch:
        images = [added[id(slot)] if isinstance(slot, Scan) else slot for slot in slots[read.number]]
        if images and read.fingerprint and read.known is None and read.number not in run.unsure:
            files[read.fingerprint] = images[0]
        _import_mask_of(run, read, images)
    run.store.sources.note_files(files)


def _slots(run: ImportRun, read: ReadItem) -> list[int | Scan]:
    """For each scan its image, or itself where it is new; what cannot come in costs a line."""
    shown = run.plan.sight.shown_item(read.item)
    if read.known is not None:
        run.known += 1
        return [read.known]
    if read.is_part:
        run.plan.sight.passed += read.item.files
    if read.refusal:
        run.refuse(f"{shown}: {read.refusal}")
    for remark in dict.fromkeys(remark for scan in read.scans for remark in scan.remarks):
        run.notes.append(f"{shown}: {remark}")
    slots = [_slot(run, read, scan) for scan in read.scans]
    return [slot for slot in slots if slot is not None]


def _slot(run: ImportRun, read: ReadItem, scan: Scan) -> int | Scan | None:
    """The image that this scan is, itself where it is new, None where it cannot come in."""
    digest = digest_of(scan)
    slot: int | Scan | None = run.store.find_image(scan) or run.fresh.get(digest)
    is_known = slot is not None
    if is_known:
        run.known += 1
    else:
        facts = PixelFacts.of(scan)
        slot = _original_of(run, read, facts)
        if slot is None and (image := turned(scan, _images_from(run.store, scan.source))):
            return _turned(run, read, scan, image)
        if slot is None:
            run.originals.append(run.pixels.add(facts, scan))
            run.fresh[digest] = slot = scan
    if isinstance(slot, int) and (
        is_known or scan.spacing_mm is not None
    ):  # a copy may say less: a PNG of a scan
        _compare_header(run, read, scan, slot)
    return slot


def _turned(run: ImportRun, read: ReadItem, scan: Scan, image: ImageRow) -> int | None:
    """The image as its header shows it now, with all that was said of it; None where nobody asked for that."""
    if not run.plan.request.take_headers:
        run.refuse(f"{run.plan.sight.shown_item(read.item)}: {TURNED}; take it with --take-headers")
        return None
    before = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    grid, turn = shown_anew(before, grid_of_image(scan.geometry, scan.shape, scan.spacing_mm))
    now = turn_image(run.store, image, grid, turn)
    run.turned[image.id] = now
    run.known += 1
    return now


def _original_of(run: ImportRun, read: ReadItem, facts: PixelFacts) -> int | Scan | None:
    """The image as whose copy a file is taken, with a line about it; None where it is an image of its own."""
    likeness, choice = run.pixels.like(facts), run.plan.request.copies
    if likeness is None:
        return None
    slot = likeness.original.slot
    if not likeness.agreed or choice == "both":
        run.alike.append(f"{run.plan.sight.shown_item(read.item)}: {likeness.told(choice)}")
    if not likeness.is_same(choice):
        run.store.sources.forget_copy(facts.source)
        return None
    run.unsure.add(read.number)
    run.known += likeness.agreed
    run.copies += not likeness.agreed
    if facts.source and not likeness.agreed:
        run.taken[facts.source] = slot
    return slot


def _compare_header(run: ImportRun, read: ReadItem, scan: Scan, image_id: int) -> None:
    """Take what the header of a known image says anew, or say that it was not taken."""
    now = grid_of_image(scan.geometry, scan.shape, scan.spacing_mm)
    change = difference(run.store.image(image_id), now)
    if not change:
        return
    if run.plan.request.take_headers:
        run.store.sources.take_header(image_id, scan)
        run.changed.append(image_id)
    else:
        run.unsure.add(read.number)
        run.refuse(f"{run.plan.sight.shown_item(read.item)}: {change}; take it with --take-headers")


def _import_mask_of(run: ImportRun, read: ReadItem, images: list[int]) -> None:
    choice = run.plan.masks.by_item.get(read.number)
    if choice is None or not images:
        return
    if len(images) > 1:
        shown = run.plan.sight.shown(choice.mask.path)
        run.refuse(f"{shown}: its series holds {len(images)} images and it fits one; import them apart")
        return
    _import_mask(run, read.number, images[0])


def _images_from(store: Store, source: str) -> list[ImageRow]:
    return store.images_of(store.sources.images_from(source)) if source else []


def _import_mask(run: ImportRun, number: int, image_id: int) -> None:
    mask = run.plan.masks.by_item[number].mask
    meaning = run.plan.meanings.get(mask.path)
    if meaning is None:  # a line said why
        return
    source = source_of(run.plan, mask, run.batch)
    try:
        outcome = import_mask(run.store, run.store.image(image_id), source, meaning)
    except FileRefused as refusal:
        run.refuse(f"{source.shown}: {refusal}")
        return
    if outcome.events:
        run.labelled.append(image_id)
        run.replaced += outcome.replaced
        if outcome.union and outcome.union.taken_over:
            run.notes.append(f"{source.shown}: {taken_over(outcome.union)}")
