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


class NamedImages:
    """The images of a project by the names of their files, read once for a question of many tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: dict[str, set[int]] = {}
        for image_id, name in store.sources.names().items():
            for one in (name, name.rpartition("/")[2]):
                self._ids.setdefault(one, set()).add(image_id)

    def task(self, told: Mapping[str, Any], controls: tuple[Control, ...]) -> Task:
        """Raises LookupError where the project has no such picture, or several."""
        name = unquote(name_of_image(told, controls))
        names = {name, _UPLOADED.sub("", name, count=1)} - {""}
        ids = {image_id for one in names for image_id in self._ids.get(one, ())}
        if len(ids) != 1:
            many = "several images are called" if ids else "no image is called"
            raise LookupError(
                f"{many} {name[:100]!r}; the project and Label Studio go together by the names of files"
            )
        row = self._store.image(ids.pop())
        if row.is_volume:
            raise LookupError(
                f"{row.name!r} is a volume, and Label Studio labels pictures; open it in 3D Slicer"
            )
        return Task(row, subject_of(row))
