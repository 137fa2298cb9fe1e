"""Which site, stain or scanner an image comes from: a column of a CSV file, kept as a setting of the project."""

import json
from dataclasses import dataclass
from pathlib import Path

from annotator.exchange.matching import image_names
from annotator.exchange.tables import Column, read_table
from storage.store import Store

SETTING = "groups"
LONGEST = 80


@dataclass(frozen=True)
class GroupReport:
    said: int  # images that have a group now
    refused: tuple[str, ...]  # one sentence for each row that made no sense


def import_groups(store: Store, path: Path, column: str = "group") -> GroupReport:
    """Rows of image and group; what earlier files said of other images stays. Raises ValueError."""
    _, images = store.images(limit=-1)
    names, groups = image_names(images, store.sources.copies()), read_groups(store)
    refused, said = [], 0
    for row in read_table(path, (Column("image", ("file",)), Column(column))):
        number, name, group = row.line, row.cells["image"], row.cells[column]
        try:
            image_id = names.one(name)
        except LookupError as error:
            refused.append(f"{path.name}, line {number}: {error.args[0]}")
            continue
        if image_id is None:
            refused.append(f"{path.name}, line {number}: there is no image {name!r} in this project")
        elif not group or len(group) > LONGEST:
            refused.append(f"{path.name}, line {number}: a group is a word of 1 to {LONGEST} characters")
        else:
            groups[image_id] = group
            said += 1
    store.set_setting(SETTING, json.dumps(groups))
    return GroupReport(said, tuple(refused))


def read_groups(store: Store) -> dict[int, str]:
    """Image -> its group, for the images of which one was said."""
    try:
        return {int(key): str(value) for key, value in json.loads(store.setting(SETTING) or "{}").items()}
    except (ValueError, AttributeError):
        return {}
