"""BIDS derivatives: discrete segmentations on the images' own grids, with the names, colours and codes of classes."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from annotator.exchange.channels.bids_names import bids_name
from annotator.exchange.export_report import version
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import write_bytes
from storage.formats.nifti import write_labels
from storage.rows import ClassRow

DATATYPES = {"anat", "func", "dwi", "fmap", "pet", "perf", "micr", "meg", "eeg", "beh"}
BIDS_VERSION = "1.10.0"
COLUMNS = {
    "index": {"Description": "Value in the images"},
    "name": {"Description": "Name of the class"},
    "color": {"Description": "Colour as #rrggbb"},
    "scheme": {
        "Description": "Coding scheme, such as SCT (SNOMED CT) or RADLEX; n/a where the class has no code"
    },
    "code": {"Description": "Code within the scheme"},
    "meaning": {"Description": "What the code means"},
}


class BidsWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._rows: dict[int, tuple[str, ...]] = {}
        self._subjects: set[str] = set()  # made of names
        self._stems: set[str] = set()

    def write(self, image: LabelledImage) -> None:
        if not image.unknown:
            image.tell_unknown("a BIDS file without --ignore")
        stem = self._stem(image)
        write_labels(self.folder.place(f"{stem}_desc-manual_dseg.nii.gz", image), image.values, image.grid)
        about = {"Manual": True, "Sources": [], "RawSources": _raw_sources(image)}
        if image.instances is not None:
            path = self.folder.place(f"{stem}_desc-objects_dseg.nii.gz", image)
            write_labels(path, image.instances, image.grid)
            _write_json(self.folder.at(f"{stem}_desc-objects_dseg.json"), about)
        _write_json(self.folder.at(f"{stem}_desc-manual_dseg.json"), {**about, "Classes": _classes(image)})
        self._rows = {image.numbers[c.id]: _row(image.numbers[c.id], c) for c in image.classes}
        if image.unknown:
            self._rows[image.unknown] = (str(image.unknown), "unlabelled", "#808080", "n/a", "n/a", "n/a")

    def _stem(self, image: LabelledImage) -> str:
        """sub-01/ses-a/anat/sub-01_ses-a_space-T1w: the entities of its name, where BIDS made it."""
        stem = self._own_stem(image)
        if stem is None or stem.casefold() in self._stems:
            label = self._subject(image.name)
            stem = f"sub-{label}/anat/sub-{label}"
        self._stems.add(stem.casefold())
        return stem

    def _own_stem(self, image: LabelledImage) -> str | None:
        name = bids_name(image.name)
        if name is None:
            return None
        said = {key: value for key, value in name.entities.items() if key != "desc"}
        said.setdefault("space", name.parts[0])
        where = [f"{key}-{said[key]}" for key in ("sub", "ses") if key in said]
        stem = "_".join(f"{key}-{value}" for key, value in said.items())
        return "/".join([*where, _datatype(image.row.source), stem])

    def _subject(self, name: str) -> str:
        """Letters and digits alone are allowed; no two images get the same."""
        bare = re.sub(r"[^A-Za-z0-9]", "", name) or "image"
        tries = (f"{bare}{n or ''}" for n in range(len(self._subjects) + 1))
        label = next(one for one in tries if one.casefold() not in self._subjects)
        self._subjects.add(label.casefold())
        return label

    def finish(self, classes: Sequence[ClassRow]) -> None:
        facts = {
            "Name": f"Labels of {self.folder.project}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "Slicewise", "Version": version()}],
        }
        _write_json(self.folder.at("dataset_description.json"), facts)
        background = ("0", "background", "#000000", "n/a", "n/a", "n/a")
        lines = [tuple(COLUMNS), background, *(self._rows[value] for value in sorted(self._rows))]
        write_bytes(
            self.folder.at("desc-manual_dseg.tsv"), "".join("\t".join(r) + "\n" for r in lines).encode()
        )
        _write_json(self.folder.at("desc-manual_dseg.json"), COLUMNS)


def _raw_sources(image: LabelledImage) -> list[str]:
    """None for an image of several files: no file is called as it is."""
    name = bids_name(image.name)
    return [image.row.source] if image.row.source and (name is None or len(name.parts) == 1) else []


def _datatype(source: str) -> str:
    folders = source.replace("\\", "/").split("/")[:-1]
    return folders[-1] if folders and folders[-1] in DATATYPES else "anat"


def _row(value: int, row: ClassRow) -> tuple[str, ...]:
    code = (row.code.scheme, row.code.value, row.code.meaning) if row.code else ("n/a",) * 3
    return (str(value), row.name, row.color, *code)


def _classes(image: LabelledImage) -> dict[str, dict[str, Any]]:
    """By value, those that are there."""
    rows = {c.id: c for c in image.classes}
    return {str(image.numbers[value]): _facts(rows[value]) for value in image.present}


def _facts(row: ClassRow) -> dict[str, Any]:
    code = row.code
    coded = {"Code": {"Scheme": code.scheme, "Value": code.value, "Meaning": code.meaning}} if code else {}
    return {"Name": row.name, **coded}


def _write_json(path: Any, content: Mapping[str, Any]) -> None:
    write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
