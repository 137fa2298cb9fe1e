"""Which site, stain or scanner an image comes from: a column of a CSV file, kept as a setting of the project."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from storage.formats import stem
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
    ids = {key: row.id for row in reversed(images) for key in (row.name, stem(Path(row.name)))}
    groups, refused, said = read_groups(store), [], 0
    for number, name, group in _rows(path, column):
        image_id = ids.get(name) or ids.get(stem(Path(name)))
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


def _rows(path: Path, column: str) -> list[tuple[int, str, str]]:
    """(line, image, group); the image's column is called image or file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            image = next((name for name in ("image", "file") if name in names), None)
            if image is None or column not in names:
                raise ValueError(
                    f"{path.name} needs a column image (or file) and one called {column!r}; "
                    f"its first line names: {', '.join(names) or 'nothing'}"
                )
            return [
                (reader.line_num, (row[image] or "").strip(), (row[column] or "").strip()) for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} is not a CSV file in UTF-8 ({error}); save it as one") from error
