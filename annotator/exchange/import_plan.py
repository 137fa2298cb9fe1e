"""What an import would do, before it does any of it: which images, which masks, what the masks' values mean."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotator.exchange.import_files import find_files
from annotator.exchange.import_items import ImportItem, ImportSight, find_items, name_salt
from annotator.exchange.mask_files import (
    MaskAssignment,
    MaskChoice,
    Naming,
    assign_masks,
    mask_files,
)
from annotator.exchange.mask_meaning import MaskMeaning, ValueChoices, decide
from annotator.exchange.mask_survey import MaskSurvey, survey
from annotator.exchange.matching import NamedItem, NameIndex
from annotator.exchange.value_names import ValueNames, forget_tables, read_names, tables_near
from annotator.jobs import Job
from storage import formats
from storage.formats import FileRefused
from storage.formats.privacy import Identities
from storage.store import Store

REMEDY = "say --objects, --classes or --value NUMBER=NAME, or name them in a labels.csv"


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and what a person decided about it."""

    path: Path
    labels: Path | None = None  # a file or folder of masks; None: those beside their images
    values: ValueChoices = ValueChoices()
    take_headers: bool = False  # whether images that are there already take a header that has changed


@dataclass
class MaskFamily:
    """Masks whose values are decided together, because the same tables lie near them."""

    surveys: list[MaskSurvey]
    meaning: MaskMeaning


@dataclass
class ImportPlan:
    """All that was decided. The lines of refusal are the sight's."""

    request: ImportRequest
    sight: ImportSight
    items: list[ImportItem]
    masks: MaskAssignment
    families: list[MaskFamily] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    meanings: dict[Path, MaskMeaning] = field(default_factory=dict)  # of the masks that can be imported


def plan_import(store: Store, request: ImportRequest, job: Job) -> ImportPlan:
    """Look at everything, write nothing. Files that cannot be used cost a line each."""
    job.report("looking", 0, 0, "looking for images")
    forget_tables()
    found = find_files(request.path, apart_from=store.root.resolve())
    sight = ImportSight(job, found, Identities(name_salt(store)))
    masks, sight.masks = mask_files(found, request.labels)
    items = find_items(sight)
    alone = request.labels is not None and request.labels.is_file()
    places = [item.place for item in items]
    assignment = assign_masks(masks, places, Naming(found.root, sight.shown), alone=alone)
    plan = ImportPlan(request, sight, items, assignment)
    _decide_values(plan, [row.name for row in store.classes()])
    return plan


def refuse_masks(plan: ImportPlan) -> None:
    """The lines about masks that belong nowhere."""
    for path, reason in sorted(plan.masks.left_out):
        if formats.kind_of(path) is not None:
            plan.sight.refuse(f"{plan.sight.shown(path)}: {reason}")


def _decide_values(plan: ImportPlan, classes: Sequence[str]) -> None:
    chosen: dict[Path, MaskChoice] = {choice.mask.path: choice for choice in plan.masks.by_item.values()}
    surveys: dict[tuple[Path, ...], list[MaskSurvey]] = defaultdict(list)
    for number, path in enumerate(chosen, start=1):
        if plan.sight.job.cancelled:
            return
        plan.sight.job.report("looking at masks", number, len(chosen))
        try:
            surveyed = survey(path)
        except FileRefused as refusal:
            plan.sight.refuse(f"{plan.sight.shown(path)}: {refusal}")
        else:
            surveys[tables_near(path)].append(surveyed)
    index = NameIndex(NamedItem(choice.mask.below, path) for path, choice in chosen.items())
    for tables, family in surveys.items():
        _decide_family(plan, family, read_names(tables), index, classes)


def _decide_family(
    plan: ImportPlan,
    family: list[MaskSurvey],
    names: ValueNames,
    index: NameIndex[Path],
    classes: Sequence[str],
) -> None:
    own = names.objects_of(index)
    meaning = decide(family, names, plan.request.values, own=own, classes=classes)
    plan.families.append(MaskFamily(family, meaning))
    for problem in dict.fromkeys(names.problems):
        plan.sight.refuse(problem)
    first = plan.sight.shown(family[0].path)
    shown = first if len(family) == 1 else f"{first} and {len(family) - 1} more masks"
    plan.notes += [f"{shown}: {note}" for note in meaning.notes]
    if meaning.question:
        plan.sight.refuse(f"{shown}: {meaning.question}; {REMEDY}")
    else:
        plan.meanings |= {one.path: meaning for one in family}
