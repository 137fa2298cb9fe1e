"""Label files as masks on the grids of their images, in a folder that lasts as long as the import's plan.

From there on they are looked at, asked about and imported as all masks are.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from annotator.exchange.import_items import ImportItem, ImportSight
from annotator.exchange.label_files import LABEL_FILES, kinds_of
from annotator.exchange.label_files.contract import VOID, LabelFile, SaidOfImage
from annotator.exchange.masks.files import (
    LONELY,
    TWO_IMAGES,
    TWO_MASKS,
    LabelPlace,
    MaskAssignment,
    MaskChoice,
    MaskFile,
    index_of_places,
)
from annotator.exchange.masks.value_names import clean_name
from annotator.exchange.matching import AmbiguousName, NameIndex, NameMatch
from storage import formats
from storage.formats import FileRefused, Grid
from storage.formats.nifti import write_labels
from storage.safety.scratch import scratch_folder

OTHER_SERIES = "its series is not part of this import; import both together"


@dataclass
class Unpacked:
    """The masks that were made of label files. The folder goes with the last reference to this."""

    folder: "TemporaryDirectory[str] | None" = None
    notes: dict[Path, list[str]] = field(default_factory=dict)  # by the folder of a kind
    titles: dict[Path, str] = field(default_factory=dict)
    values: dict[Path, dict[str, int]] = field(default_factory=dict)  # names of classes
    colours: dict[Path, dict[str, str]] = field(default_factory=dict)
    codes: dict[Path, dict[str, str]] = field(default_factory=dict)

    def place(self, kind: str) -> Path:
        """Where masks of a kind lie: so deep that no table of others is near."""
        if self.folder is None:
            self.folder = scratch_folder()
        place = Path(self.folder.name) / "of" / kind / "masks"
        place.mkdir(parents=True, exist_ok=True)
        self.notes.setdefault(place, [])
        self.titles[place] = LABEL_FILES[kind].title
        return place


@dataclass(frozen=True)
class _Below:
    """The items below one folder."""

    index: NameIndex[int]
    paths: Sequence[str]


@dataclass
class Unpacking:
    """One import's label files on their way."""

    sight: ImportSight
    items: Sequence[ImportItem]
    assignment: MaskAssignment
    out: Unpacked = field(default_factory=Unpacked)
    _found: dict[Path | None, "_Below"] = field(default_factory=dict, repr=False)

    def take(self, files: Sequence[LabelPlace]) -> Unpacked:
        for number, file in enumerate(files, start=1):
            self.sight.job.check()
            self.sight.job.report("reading labels", number, len(files))
            try:
                self._take(file)
            except FileRefused as refusal:
                self.sight.refuse(f"{self.sight.shown(file.path)}: {refusal}")
        for place in self.out.values:
            self._write_names(place)
        return self.out

    def _take(self, file: LabelPlace) -> None:
        kind, opened = _opened(file.path)
        if opened is None:
            if not file.companion:
                raise FileRefused("it holds no labels of a kind that is known here")
            return
        if opened.series_uid():
            self._take_of_series(file, kind, opened)
            return
        index = self._below(file.images).index
        for image in self._images(file, opened):
            name = image or Path(file.below).with_name(opened.own_name()).as_posix()
            try:
                match = NameMatch((0,), 0) if self._alone(file, image) else index.find(name)
            except AmbiguousName as error:
                first, second = (self.sight.shown(self.items[int(str(i))].place.path) for i in error.items)
                self.assignment.left_out.append((file.path, TWO_IMAGES.format(first=first, second=second)))
                continue
            if match is None:
                self.assignment.left_out.append((file.path, f"{image}: {LONELY}" if image else LONELY))
                continue
            for item in match.items:
                self._take_image(file, kind, (opened, image), item)

    def _images(self, file: LabelPlace, opened: LabelFile) -> Sequence[str]:
        return opened.among(file.below, self._below(file.images).paths)

    def _below(self, images: Path | None) -> "_Below":
        """Found once: a data set may have a label file for each image."""
        if images not in self._found:
            root, places = self.sight.found.root, [item.place for item in self.items]
            inside = [one.path for one in places if one.path.is_relative_to(images or root)]
            paths = [path.relative_to(images or root).as_posix() for path in inside]
            self._found[images] = _Below(index_of_places(root, places, images), paths)
        return self._found[images]

    def _take_of_series(self, file: LabelPlace, kind: str, opened: LabelFile) -> None:
        series = [(n, item.series) for n, item in enumerate(self.items) if item.series is not None]
        own = [n for n, one in series if one.uid == opened.series_uid()]
        if not own and self._alone(file, ""):
            own = [0]
        if len(own) != 1:
            raise FileRefused(
                OTHER_SERIES if not own else "its series holds several images; import them apart"
            )
        self._take_image(file, kind, (opened, ""), own[0])

    def _alone(self, file: LabelPlace, image: str) -> bool:
        """One file that was named, for one image, whatever its name."""
        return not image and not file.companion and len(self.items) == 1

    def _take_image(self, file: LabelPlace, kind: str, asked: tuple[LabelFile, str], item: int) -> None:
        opened, image = asked
        shown = self.sight.shown(file.path) + (f": {image}" if image else "")
        if (other := self.assignment.by_item.get(item)) is not None:
            line = TWO_MASKS.format(other=self.sight.shown(other.mask.path))
            self.sight.refuse(f"{shown}: {line}")
            return
        try:
            grid = _grid_of(self.items[item])
            said = opened.read(image, grid)
        except FileRefused as refusal:
            self.sight.refuse(f"{shown}: {refusal}")
            return
        except (MemoryError, OSError):
            raise
        except Exception:  # as in `_opened`
            self.sight.refuse(f"{shown}: it cannot be read as {LABEL_FILES[kind].title}: it is damaged")
            return
        mask = self._written(self.out.place(kind), opened, said, grid, item)
        origin = f"{file.origin}/{image}" if image else file.origin
        self.sight.stand_ins[mask.path] = shown
        self.out.notes[mask.path.parent] += [f"{shown}: {note}" for note in said.notes]
        self.assignment.by_item[item] = MaskChoice(
            MaskFile(mask.path, mask.path.name, origin, objects=mask.objects, author=clean_name(said.author)),
            LABEL_FILES[kind].title,
        )

    def _written(self, place: Path, opened: LabelFile, said: SaidOfImage, grid: Grid, item: int) -> MaskFile:
        path = place / f"{item}.nii.gz"
        write_labels(path, self._joint(place, opened, said.values), grid)
        objects = None
        if said.numbers is not None:
            objects = place / f"{item}_instances.nii.gz"
            write_labels(objects, said.numbers, grid)
        return MaskFile(path, path.name, "", objects=objects)

    def _joint(self, place: Path, opened: LabelFile, values: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """A class has one value in all files of a kind: that of the first file, if it is free."""
        names = self.out.values.setdefault(place, {})
        colours = self.out.colours.setdefault(place, {})
        codes = self.out.codes.setdefault(place, {})
        table = np.zeros(VOID + 1, np.uint16)
        table[VOID] = VOID
        for value, one in opened.classes.items():
            taken = set(names.values())
            if one.name not in names:
                names[one.name] = value if value not in taken else max(taken) + 1
            if one.color:
                colours.setdefault(one.name, one.color)
            if one.code:
                codes.setdefault(one.name, one.code)
            table[value] = names[one.name]
        return table[values]

    def _write_names(self, place: Path) -> None:
        names, colours, codes = self.out.values[place], self.out.colours[place], self.out.codes[place]
        with open(place / "labels.csv", "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["value", "name", "color", "scheme", "code", "meaning"])
            for name, value in names.items():
                code = (codes.get(name, "").split(" ", 2) + [""] * 3)[:3]
                rows.writerow([value, name, colours.get(name, ""), *code])
            rows.writerow([VOID, "void", ""])


def _opened(path: Path) -> tuple[str, LabelFile | None]:
    """Other people's files make readers raise anything. Raises FileRefused."""
    kind = ""
    for kind in kinds_of(path):
        try:
            opened = LABEL_FILES[kind].open(path)
        except (FileRefused, MemoryError):
            raise
        except Exception:
            raise FileRefused(f"it cannot be read as {LABEL_FILES[kind].title}: it is damaged") from None
        if opened is not None:
            return kind, opened
    return kind, None


def _grid_of(item: ImportItem) -> Grid:
    looks = formats.look_at_series(item.series) if item.series else [formats.look(item.files[0])]
    if len(looks) != 1:
        raise FileRefused(f"its series holds {len(looks)} images and it fits one; import them apart")
    return looks[0].grid
