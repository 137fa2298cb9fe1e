"""Where a class is still used: pixels that carry it, boxes of it, tags that say it is there."""

from collections.abc import Callable, Sequence

from storage.arrays import SliceRef
from storage.database import Database
from storage.fold import fold
from storage.rows import ImageRow, LabelRow
from storage.tags import Tags

LabelsOf = Callable[[int], list[LabelRow]]


def use_of(db: Database, images: Sequence[ImageRow], labels: LabelsOf, class_id: int) -> str | None:
    """The first place in words, None where nothing uses the class. What later labels cover is no use."""
    candidates = images_naming(db, class_id)
    for image in images:
        if image.id not in candidates:
            continue
        rows = labels(image.id)
        if any(row.prompts.get("box_of") == class_id for row in rows):
            return f"a box on {image.name} is of this class"
        if not any(class_id in row.classes for row in rows):
            continue
        if (fold(image.shape, rows).classes == class_id).any():
            return f"pixels of {image.name} carry this class"
    tagged = tagged_images(db, class_id)
    name = next((image.name for image in images if image.id in tagged), None)
    return None if name is None else f"a tag says that this class is on {name}"


def images_naming(db: Database, class_id: int) -> set[int]:
    """The images with any event that names the class, taken back or not, or that something was relabelled to."""
    sql = """select image_id from labels l where kind in ('patch', 'tag', 'relabel')
             and exists (select 1 from json_each(l.classes) where value = ?1)
             union select image_id from labels where json_extract(prompts, '$.box_of') = ?1"""
    return {row["image_id"] for row in db.rows(sql, [class_id])}


def tagged_images(db: Database, class_id: int) -> set[int]:
    """The images of which the newest tag of a slice says that the class is there."""
    newest: dict[SliceRef, bool] = {}
    for tag in Tags(db).of():
        if class_id in tag.classes:
            newest[tag.ref] = tag.present
    return {ref.image_id for ref, present in newest.items() if present}
