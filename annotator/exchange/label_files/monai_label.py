"""A studies folder of MONAI Label: `datastore_v2.json` says which label of which tag belongs to which image.

What a person saved counts (`final`, else the newest `version_N` of the reviewers). Other tags are answers of models.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotator.exchange.label_files.contract import FileClass, LabelFile, SaidOfImage
from annotator.exchange.label_files.json_file import content_of
from annotator.exchange.label_files.slicer import open_segments
from annotator.exchange.masks.value_names import clean_name
from learners.text import count_of
from storage.formats import FileRefused, Grid, lay_on, read_labels

FINAL, VERSION = "final", re.compile(r"version_(\d+)")
SEGMENTS = ".seg.nrrd"
LABELS = "labels"  # the folder of labels within a studies folder


@dataclass(frozen=True)
class _StudyLabel:
    """The label of one image that counts."""

    path: Path
    names: Mapping[int, str]  # of every value that it has
    author: str


class Datastore(LabelFile):
    def __init__(self, path: Path, objects: Mapping[str, Any]) -> None:
        super().__init__(path)
        self._saved: dict[str, _StudyLabel] = {}
        self._models: Counter[str] = Counter()  # answers that nobody saved, by tag
        for name, said in objects.items():
            self._add(str(name), said)
        names = dict.fromkeys(n for one in self._saved.values() for n in one.names.values())
        self._values = {name: n for n, name in enumerate(names, start=1)}
        self.classes = {n: FileClass(name) for name, n in self._values.items()}

    def _add(self, name: str, said: Mapping[str, Any]) -> None:
        labels = said.get("labels") or {}
        tag = _counting(labels)
        if tag is None:
            self._models.update(labels.keys())
            return
        one = labels[tag]
        path = self.path.parent / LABELS / tag / f"{name}{one['ext']}"
        if path.parent.parent != self.path.parent / LABELS or path.parent.name != tag:
            raise FileRefused("it names a label outside its own folder; that is never followed")
        image = f"{name}{said.get('image', {}).get('ext', '')}"
        info = one.get("info") or {}
        self._saved[image] = _StudyLabel(path, _names_of(path, _told(info)), _author(info))

    def images(self) -> Sequence[str]:
        return list(self._saved)

    def read(self, image: str, grid: Grid) -> SaidOfImage:
        one = self._saved[image]
        if not one.path.is_file():
            raise FileRefused(
                f"its label {one.path.parent.name}/{one.path.name} is not there; copy the whole folder"
            )
        if one.path.name.endswith(SEGMENTS):
            return self._segments(one, grid)
        stored, own = read_labels(one.path)
        values = lay_on(stored, own, grid)
        table = np.zeros(max(one.names, default=0) + 1, np.uint16)
        for value, name in one.names.items():
            table[value] = self._values[name]
        return SaidOfImage(table[values], notes=tuple(self._notes()), author=one.author)

    def _segments(self, one: _StudyLabel, grid: Grid) -> SaidOfImage:
        inner = open_segments(one.path)
        assert inner is not None
        said = inner.read("", grid)
        table = np.zeros(max(inner.classes) + 1, np.uint16)
        for value, name in one.names.items():
            table[value] = self._values[name]
        notes = (*said.notes, *self._notes())
        return SaidOfImage(table[said.values], notes=notes, author=one.author)

    def _notes(self) -> Iterator[str]:
        """Once, with the first image."""
        for tag, count in sorted(self._models.items()):
            yield f"{count_of(count, 'label')} of tag {tag} left out: a model's answer that nobody saved"
        self._models.clear()


def open_datastore(path: Path) -> Datastore | None:
    content = content_of(path)
    if not isinstance(content, dict) or not isinstance(content.get("objects"), dict):
        return None
    try:
        return Datastore(path, content["objects"])
    except (KeyError, TypeError, AttributeError):
        raise FileRefused(
            "it is a datastore of MONAI Label with parts missing; copy the whole folder"
        ) from None


def _counting(labels: Mapping[str, Any]) -> str | None:
    """The tag under which a person saved an image's label."""
    if FINAL in labels:
        return FINAL
    versions = [(int(found[1]), tag) for tag in labels if (found := VERSION.fullmatch(tag))]
    return max(versions)[1] if versions else None


def _names_of(path: Path, told: Mapping[int, str]) -> Mapping[int, str]:
    """Of every value that it has: a name, else the number itself. None where it cannot be read, which `read` says."""
    try:
        if not path.is_file():
            return {}
        if path.name.endswith(SEGMENTS):
            inner = open_segments(path)
            return {value: said.name for value, said in inner.classes.items()} if inner else {}
        return {int(v): told.get(int(v), str(v)) for v in np.unique(read_labels(path)[0]) if v}
    except FileRefused:
        return {}


def _told(info: Mapping[str, Any]) -> dict[int, str]:
    """What 3D Slicer says of the segments that it saved, or the model of its answer."""
    params = info.get("params") or {}
    listed = info.get("label_info") or params.get("label_info") or []
    by_name = info.get("label_names") or params.get("label_names") or {}
    pairs = [(one.get("idx", n), one.get("name")) for n, one in enumerate(listed, start=1)]
    pairs += [(value, name) for name, value in by_name.items()]
    named = ((int(value), clean_name(str(name or ""))) for value, name in reversed(pairs))
    return {value: name for value, name in named if name}


def _author(info: Mapping[str, Any]) -> str:
    params = info.get("params") or {}
    reviewed = (info.get("segmentationMeta") or {}).get("approvedBy")
    found = (reviewed, *(one.get(key) for key in ("user", "client_id") for one in (info, params)))
    return next((one for one in found if isinstance(one, str) and one), "")
