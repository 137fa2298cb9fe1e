"""What an import would do, before it does any of it: which images, which masks, what the masks' values mean."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotator.exchange.copies import CopyChoice
from annotator.exchange.import_act import AUTHOR
from annotator.exchange.import_files import find_files, is_one
from annotator.exchange.import_items import ImportItem, ImportSight, find_items, name_salt, series_name
from annotator.exchange.label_files.unpacking import Unpacked, Unpacking
from annotator.exchange.masks.events import MaskSource
from annotator.exchange.masks.files import (
    STRANGE,
    MaskAssignment,
    MaskChoice,
    MaskFile,
    Naming,
    assign_masks,
    called_like_masks,
    label_beside,
    mask_files,
)
from annotator.exchange.masks.meaning import MaskMeaning, ValueChoices, as_called_now, decide
from annotator.exchange.masks.survey import MaskSurvey, survey
from annotator.exchange.masks.value_names import ValueNames, forget_tables, read_names, tables_near
from annotator.exchange.matching import NamedItem, NameIndex
from annotator.jobs import Job
from learners.text import count_of
from storage.formats import FileRefused
from storage.formats.privacy import Identities
from storage.rows import ClassRow, ImageRow, LabelRow
from storage.store import Store

REMEDY = "say --objects, --classes or --value NUMBER=NAME, or name them in a labels.csv"


@dataclass(frozen=True)
class ProjectFacts:
    """What a plan has to know of the project; there may be none yet."""

    root: Path
    classes: tuple[ClassRow, ...] = ()
    salt: str = ""  # makes pseudonyms of series the project's own
    images: tuple[ImageRow, ...] = ()
    imported: frozenset[int] = frozenset()  # images that imports said something of
    copies: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # files taken as these images before
    former: Mapping[str, str] = field(default_factory=dict)  # name that a class had -> its name today
    sources: frozenset[str] = frozenset()  # where images came from
    labels: Callable[[int], list[LabelRow]] = lambda image_id: []  # of an image, while the project is open


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and what a person decided about it."""

    path: Path
    labels: Path | None = None  # a file or folder of masks; None: those beside their images
    values: ValueChoices = ValueChoices()
    families: Mapping[int, ValueChoices] = field(default_factory=dict)  # by number; of others `values` holds
    copies: CopyChoice = ""  # whether files with the pixels of another image are that image
    take_headers: bool = False  # whether images that are there already take a header that has changed


@dataclass
class MaskFamily:
    """Masks whose values are decided together, because the same tables lie near them."""

    surveys: list[MaskSurvey]
    names: ValueNames
    own: dict[Path, dict[int, str]]  # classes of objects by mask file
    meaning: MaskMeaning
    notes: tuple[str, ...] = ()  # what label files could not say


@dataclass
class ImportPlan:
    """All that was decided. The lines about files are the sight's."""

    request: ImportRequest
    sight: ImportSight
    items: list[ImportItem]
    masks: MaskAssignment
    unpacked: Unpacked = field(default_factory=Unpacked)
    families: list[MaskFamily] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of tables, and what only a person can decide
    meanings: dict[Path, MaskMeaning] = field(default_factory=dict)  # of the masks that can be imported


def facts_of(store: Store, *, images: bool = False) -> ProjectFacts:
    """`images`: whether a look at them follows."""
    classes, former = tuple(store.classes()), store.class_rows.former()
    sources = store.sources.all()
    facts = ProjectFacts(store.root.resolve(), classes, name_salt(store), former=former, sources=sources)
    return with_images(facts, store) if images else facts


def with_images(facts: ProjectFacts, store: Store) -> ProjectFacts:
    """As a look at them needs it; only while the store is open."""
    rows = tuple(store.images(limit=-1)[1])
    imported = frozenset(store.image_states.labelled_by(AUTHOR))
    copies = store.sources.copies()
    sources = frozenset(row.source for row in rows)
    return replace(facts, images=rows, imported=imported, copies=copies, sources=sources, labels=store.labels)


def plan_import(facts: ProjectFacts, request: ImportRequest, job: Job) -> ImportPlan:
    """Look at everything, write nothing. Files that cannot be used cost a line each."""
    job.report("looking", 0, 0, "looking for images")
    forget_tables()
    found = find_files(request.path, apart_from=facts.root)
    sight = ImportSight(job, found, Identities(facts.salt), masks_root=request.labels, known=facts.sources)
    found_masks = mask_files(found, request.labels)
    sight.masks = found_masks.apart
    if request.labels is not None and not found_masks.masks and not found_masks.labels:
        sight.refuse(f"{request.labels.name}: it holds no mask; give a file or a folder of masks")
    for path in found_masks.strange:
        sight.refuse(f"{sight.shown(path)}: {STRANGE}")
    items = find_items(sight)
    alone = request.labels is not None and is_one(request.labels)
    places = [item.place for item in items]
    assignment = assign_masks(found_masks.masks, places, Naming(found.root, sight.shown), alone=alone)
    labels = [*found_masks.labels, *(label_beside(found, path) for path in sight.segmentations)]
    unpacked = Unpacking(sight, items, assignment).take(labels)
    plan = ImportPlan(request, sight, items, assignment, unpacked)
    plan.families = list(_families(plan))
    decide_values(plan, request, facts)
    return plan


def decide_values(plan: ImportPlan, request: ImportRequest, facts: ProjectFacts) -> None:
    """What all values mean, with what a person said in this request."""
    plan.request, plan.notes, plan.problems, plan.meanings = request, list(_like_masks(plan)), [], {}
    classes = [*(row.name for row in facts.classes), *facts.former]
    for number, family in enumerate(plan.families):
        choices = request.families.get(number, request.values)
        meaning = decide(family.surveys, family.names, choices, own=family.own, classes=classes)
        family.meaning = as_called_now(meaning, facts.former, choices)
        _tell(plan, family)


def _like_masks(plan: ImportPlan) -> Iterator[str]:
    """What nothing but its name says is told, and not decided."""
    if found := called_like_masks(item.place for item in plan.items):
        more = f" and {count_of(len(found) - 1, 'more file')}" if len(found) > 1 else ""
        yield (
            f"{plan.sight.shown(found[0])}{more} are images here, though called like masks; masks lie in a folder "
            "labels beside images, or are named by --labels"
        )


def source_of(plan: ImportPlan, mask: MaskFile, batch: str = "") -> MaskSource:
    """A mask as it is told and known again."""
    origin = plan.sight.known_as(mask.path, mask.origin)
    return MaskSource(mask.path, plan.sight.shown(mask.path), origin, batch, mask.objects, mask.author)


def sources_of(plan: ImportPlan) -> set[str]:
    """Where the images of a plan come from, as they are known by."""
    sight = plan.sight
    named = (series_name(sight, i)[1] if i.series else sight.found.shown(i.origin) for i in plan.items)
    return {source for source in named if source}


def refuse_masks(plan: ImportPlan) -> None:
    """The lines about masks that belong nowhere."""
    for path, reason in sorted(plan.masks.left_out):
        plan.sight.refuse(f"{plan.sight.shown(path)}: {reason}")


def _families(plan: ImportPlan) -> Iterator[MaskFamily]:
    chosen: dict[Path, MaskChoice] = {choice.mask.path: choice for choice in plan.masks.by_item.values()}
    surveys: dict[tuple[Path, ...], list[MaskSurvey]] = defaultdict(list)
    for number, path in enumerate(chosen, start=1):
        plan.sight.job.check()
        plan.sight.job.report("looking at masks", number, len(chosen))
        try:
            surveyed = survey(path)
        except FileRefused as refusal:
            plan.sight.refuse(f"{plan.sight.shown(path)}: {refusal}")
        else:
            surveys[tables_near(path)].append(surveyed)
    index = NameIndex(NamedItem(choice.mask.below, path) for path, choice in chosen.items())
    for tables, family in surveys.items():
        names = read_names(tables)
        own = names.objects_of(index)
        place = family[0].path.parent
        if title := plan.unpacked.titles.get(place):
            names.tables = (title,)
        notes = tuple(plan.unpacked.notes.get(place, ()))
        yield MaskFamily(family, names, own, MaskMeaning(False, {}, True, names, own), notes)


def _tell(plan: ImportPlan, family: MaskFamily) -> None:
    first, count = plan.sight.shown(family.surveys[0].path), len(family.surveys)
    shown = first if count == 1 else f"{first} and {count_of(count - 1, 'more mask')}"
    plan.problems += dict.fromkeys(family.names.problems)
    plan.notes += [*family.notes, *(f"{shown}: {note}" for note in family.meaning.notes)]
    if family.meaning.question:
        plan.problems.append(f"{shown}: {family.meaning.question}; {REMEDY}")
    else:
        plan.meanings |= {one.path: family.meaning for one in family.surveys}
