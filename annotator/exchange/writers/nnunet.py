"""nnU-Net's raw data set: images and labels of cases, `ignore` where nobody labelled, splits by what is held out."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.matching import CHANNEL
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from storage.arrays import BACKGROUND, UNLABELLED, open_npy, write_bytes
from storage.formats.nifti import write_image, write_labels
from storage.rows import ClassRow, ImageRow

ENDING = ".nii.gz"
NUMBER = 100  # data sets below are nnU-Net's own
IGNORE = "ignore"
COLOURS = ("R", "G", "B")


@dataclass
class _Case:
    """What was written of a case: one image of several channels, or several images of one."""

    name: str
    label: Path
    digest: bytes  # of its labels
    partly: bool  # some of it nobody labelled
    images: list[LabelledImage] = field(default_factory=list)
    channels: dict[int, Path] = field(default_factory=dict)
    called: dict[int, str] = field(default_factory=dict)  # the same by their names

    @property
    def held_out(self) -> bool:
        return any(image.held_out for image in self.images)


class NnunetWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._set = f"Dataset{NUMBER}_{re.sub(r'[^A-Za-z0-9]+', '', folder.project) or 'Slicewise'}"
        self._cases: dict[str, _Case] = {}
        self._values: dict[int, int] = {}
        self._names: list[str] = []  # of the channels of all images, in the order in which they came

    def write(self, image: LabelledImage) -> None:
        self._values = {c: n for n, c in enumerate(sorted(image.numbers), start=1)}
        name, first = _case_of(image)
        case = self._cases.get(name)
        if case is None:
            case = self._cases[name] = self._labels(name, image)
        elif case.digest != _digest(image):
            image.tell(
                f"its labels differ from those of {case.images[0].row.name}, which stand for the whole case"
            )
        case.images.append(image)
        for number, (called, values) in self._channels(image.row, first).items():
            path = self.folder.beside(f"{self._set}/imagesTr/{name}_{number:04}{ENDING}", image)
            write_image(path, values, image.grid)
            case.channels[number], case.called[number] = path, called

    def finish(self, classes: Sequence[ClassRow]) -> None:
        self._leave_out_odd()
        self._json("dataset.json", self._facts(classes))
        self._json("datalist.json", {"training": self._listed(False), "validation": self._listed(True)})
        if any(case.held_out for case in self._cases.values()):
            held = {name for name, case in self._cases.items() if case.held_out}
            train = [name for name in self._cases if name not in held]
            self._json("splits_final.json", [{"train": train, "val": sorted(held)}])

    def _channels(self, row: ImageRow, first: int) -> dict[int, tuple[str, NDArray[Any]]]:
        """Number -> name and values (Z, Y, X) of each; one name has one number in all cases."""
        if row.measured:
            self._names += [c.name for c in row.measured if c.name not in self._names]
            return {self._names.index(c.name): (c.name, open_npy(c.path)) for c in row.measured}
        pixels = open_npy(row.path)
        if row.channels == 1:
            return {first: (f"channel {first}", pixels)}
        parts = [open_npy(c.path) for c in row.named] or [pixels[..., n] for n in range(3)]
        return dict(enumerate(zip(COLOURS, parts, strict=True)))

    def _labels(self, name: str, image: LabelledImage) -> _Case:
        path = self.folder.place(f"{self._set}/labelsTr/{name}{ENDING}", image)
        table = np.zeros(256, np.uint8)
        for class_id, value in self._values.items():
            table[class_id] = value
        table[UNLABELLED] = self._ignore
        write_labels(path, table[image.known], image.grid)
        if image.instances is not None:
            image.tell("nnU-Net has no numbers of objects, so they are not in its data set")
        return _Case(name, path, _digest(image), image.share_known < 1)

    @property
    def _ignore(self) -> int:
        """nnU-Net asks for the highest number."""
        return max(self._values.values(), default=BACKGROUND) + 1

    def _listed(self, held_out: bool) -> list[dict[str, Any]]:
        """As MONAI reads lists of data, with places below the data set."""
        return [
            {
                "image": [f"imagesTr/{path.name}" for _, path in sorted(case.channels.items())],
                "label": f"labelsTr/{case.label.name}",
            }
            for case in self._cases.values()
            if case.held_out == held_out
        ]

    def _leave_out_odd(self) -> None:
        """All cases of a data set have the same channels; the others go, and their images are told."""
        usual = max((sorted(c.called.items()) for c in self._cases.values()), key=len)
        for name, case in list(self._cases.items()):
            if sorted(case.called.items()) == usual:
                continue
            for path in (case.label, *case.channels.values()):
                path.unlink()
            for image in case.images:
                image.tell(
                    f"it has not the {len(usual)} channels of other cases, so nnU-Net's data set is without it"
                )
                image.files[:] = [f for f in image.files if not f.startswith(f"{self.folder.kind}/")]
            del self._cases[name]

    def _facts(self, classes: Sequence[ClassRow]) -> dict[str, Any]:
        cases = self._cases.values()
        partly = any(case.partly for case in cases)
        labels = {"background": BACKGROUND} | _names(classes, self._values)
        called = sorted(next(iter(cases)).called.items())
        return {
            "name": self.folder.project,
            "channel_names": {str(n): name for n, name in called},
            "labels": labels | ({IGNORE: self._ignore} if partly else {}),
            "numTraining": len(cases),
            "file_ending": ENDING,
        }

    def _json(self, name: str, content: Any) -> None:
        path = self.folder.at(f"{self._set}/{name}")
        write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _case_of(image: LabelledImage) -> tuple[str, int]:
    """The case, and the number of the image's first channel."""
    found = CHANNEL.search(image.name)
    if found is None or image.row.channels > 1:
        return image.name, 0
    return image.name[: found.start()], int(found[1])


def _digest(image: LabelledImage) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image.known).data, digest_size=16).digest()


def _names(classes: Sequence[ClassRow], values: Mapping[int, int]) -> dict[str, int]:
    """nnU-Net's own words must not be the names of classes."""
    taken = {"background", IGNORE}
    return {(f"{c.name} (class)" if c.name.casefold() in taken else c.name): values[c.id] for c in classes}
