"""Tags from a CSV file: image,class,present and, for volumes, slice."""

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from annotator.exchange.import_act import AUTHOR, as_one_act
from annotator.exchange.matching import NameIndex, image_names
from annotator.exchange.tables import Column, read_table
from storage.arrays import SliceRef
from storage.rows import ImageRow
from storage.store import Store
from storage.tags import NewTag, TagBatch

COLUMNS = (Column("image", ("file",)), Column("class"), Column("present"), Column("slice", needed=False))
YES, NO = {"1", "yes", "true", "y", "present"}, {"0", "no", "false", "n", "absent"}


@dataclass
class TagReport:
    tagged: int = 0  # rows that became tags now; 0 where the same rows came before
    refused: list[str] = field(default_factory=list)  # one sentence for each row that did not


@dataclass(frozen=True)
class _Row:
    ref: SliceRef
    name: str
    present: bool


def import_tags(store: Store, path: Path) -> TagReport:
    """All rows that make sense, as one act; classes that are not there yet are added. Raises ValueError."""
    report, rows = TagReport(), []
    _, images = store.images(limit=-1)
    by_id, names = {image.id: image for image in images}, image_names(images, store.sources.copies())
    for row in read_table(path, COLUMNS):
        try:
            rows.append(_row(row.cells, names, by_id))
        except (LookupError, ValueError) as error:
            report.refused.append(f"{path.name}, line {row.line}: {error.args[0]}")
    if rows:
        with as_one_act(store, path.name, "tags"):
            report.tagged = _add(store, rows)
    return report


def _row(line: dict[str, str], names: NameIndex[int], images: dict[int, ImageRow]) -> _Row:
    image_id = names.one(line["image"])
    if image_id is None:
        raise LookupError(f"there is no image {line['image']!r} in this project")
    image = images[image_id]
    said = line["present"].lower()
    if said not in YES | NO:
        raise ValueError(f"present is 1 or 0, got {line['present']!r}")
    if not line["class"]:
        raise ValueError("the class has no name")
    return _Row(SliceRef(image.id, 0, _index(line.get("slice", ""), image)), line["class"], said in YES)


def _index(text: str, image: ImageRow) -> int:
    """Slices are counted from 0 along the first axis as the app shows it; a picture has one."""
    count = image.shape[0]
    if not text:
        if count > 1:
            raise ValueError(f"{image.name} has {count} slices; say which in a column named slice")
        return 0
    if not text.isdigit() or int(text) >= count:
        raise ValueError(f"{image.name} has slices 0 to {count - 1}, no {text!r}")
    return int(text)


def _add(store: Store, rows: list[_Row]) -> int:
    ids = {c.name: c.id for c in store.classes()}
    for name in dict.fromkeys(row.name for row in rows):
        if name not in ids:
            ids[name] = store.add_class(name).id
    new = [NewTag(row.ref, (ids[row.name],), row.present) for row in rows]
    digest = hashlib.sha256(repr(new).encode()).hexdigest()[:32]  # the same rows twice are one act
    stands = {tag.client_id for tag in store.tags.of()}
    names = (f"csv-{digest}-{number}" if number else f"csv-{digest}" for number in itertools.count())
    batch = next(name for name in names if name in stands or store.find_label(name) is None)
    if batch in stands:  # those before it were undone
        return 0
    return store.tags.add(new, TagBatch(batch, AUTHOR, "imported"))
