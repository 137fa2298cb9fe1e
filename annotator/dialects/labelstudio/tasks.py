"""Which image of the project a task of Label Studio means: the one of the same file name. Nothing is fetched from an
address that a task names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from annotator.dialects.labelstudio.config import Control, name_of_image
from annotator.dialects.subjects import Subject, subject_of
from storage.rows import ImageRow
from storage.store import Store

_UPLOADED = re.compile(r"[0-9a-f]{8}-")


@dataclass(frozen=True)
class Task:
    row: ImageRow
    subject: Subject

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.row.shape[1], self.row.shape[2]


def task_of(store: Store, told: Mapping[str, Any], controls: tuple[Control, ...]) -> Task:
    """Raises LookupError where the project has no such picture, or several."""
    name = unquote(name_of_image(told, controls))
    names = {name, _UPLOADED.sub("", name, count=1)} - {""}
    rows = [
        row for one in sorted(names) for row in store.images(limit=-1, search=one)[1] if _called(row, names)
    ]
    rows = list({row.id: row for row in rows}.values())
    if len(rows) != 1:
        many = "several images are called" if rows else "no image is called"
        raise LookupError(
            f"{many} {name[:100]!r}; the project and Label Studio go together by the names of files"
        )
    if rows[0].is_volume:
        raise LookupError(
            f"{rows[0].name!r} is a volume, and Label Studio labels pictures; open it in 3D Slicer"
        )
    return Task(rows[0], subject_of(rows[0]))


def _called(row: ImageRow, names: set[str]) -> bool:
    return row.name in names or row.name.rpartition("/")[2] in names
