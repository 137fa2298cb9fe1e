"""Folders and files into a project: images first, then the masks that belong to them. Bad files cost one line each."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from annotator.exchange.changed_header import difference, turned
from annotator.exchange.import_plan import (
    ImportPlan,
    ImportRequest,
    facts_of,
    plan_import,
    refuse_masks,
    source_of,
)
from annotator.exchange.masks.earlier import taken_over
from annotator.exchange.masks.events import import_mask
from annotator.exchange.masks.meaning import ValueChoices
from annotator.exchange.reading import ReadItem, is_full, read_items
from annotator.jobs import Job
from storage.formats import FileRefused, grid_of_image
from storage.image_sources import digest_of
from storage.rows import ImageRow
from storage.scan import Scan
from storage.store import Store

NAMED = 3  # files that are no images, in the one line about an import
TURNED = "its header turns it another way now; delete the image and import it again"


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

    @property
    def message(self) -> str:
        parts = [f"{len(self.added)} imported"]
        if self.labelled:
            parts.append(f"{len(self.labelled)} masks as labels")
        if self.replaced:
            parts.append(f"{self.replaced} of them in place of earlier ones")
        if self.known:
            parts.append(f"{self.known} there already")
        if self.changed:
            parts.append(f"{len(self.changed)} with a new header")
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
    unsure: set[int] = field(default_factory=set)  # items whose new header was not taken: asked about again

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
        job.report("importing", read.number, len(items), plan.sight.shown(read.item.files[0]))
        batch.append(read)
        if is_full(batch):
            _import_batch(run, batch)
            batch = []
    _import_batch(run, batch)
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
        notes=(*run.plan.notes, *run.notes),
        replaced=run.replaced,
        changed=tuple(run.changed),
    )


def _import_batch(run: ImportRun, batch: list[ReadItem]) -> None:
    """Images first, all that are new together; then the masks that belong to them."""
    fresh: dict[str, Scan] = {}
    slots = {read.number: _slots(run, read, fresh) for read in batch}
    ids = run.store.add_images(fresh) if fresh else []
    added = {id(scan): image_id for scan, image_id in zip(fresh.values(), ids, strict=True)}
    run.added += ids
    files: dict[bytes, int] = {}
    for read in batch:
        images = [added[id(slot)] if isinstance(slot, Scan) else slot for slot in slots[read.number]]
        if images and read.fingerprint and read.known is None and read.number not in run.unsure:
            files[read.fingerprint] = images[0]
        _import_mask_of(run, read, images)
    run.store.sources.note_files(files)


def _slots(run: ImportRun, read: ReadItem, fresh: dict[str, Scan]) -> list[int | Scan]:
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
    slots: list[int | Scan] = []
    for scan in read.scans:
        digest = digest_of(scan)
        image_id = run.store.find_image(scan, digest)
        if image_id is not None or digest in fresh:
            run.known += 1
            slots.append(fresh[digest] if image_id is None else image_id)
            if image_id is not None:
                _compare_header(run, read, scan, image_id)
        elif turned(scan, _images_from(run.store, scan.source)):
            run.refuse(f"{shown}: {TURNED}")
        else:
            fresh[digest] = scan
            slots.append(scan)
    return slots


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
