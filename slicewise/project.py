"""A project from Python, by the same steps as the command line.

The project is open only while a call lasts: the page may be open between two calls, and while one only reads.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from annotator.exchange.import_images import ImportReport
from annotator.jobs import Job
from slicewise.image import ProjectImage
from slicewise.pixels import scan_of_array, scan_of_channels
from slicewise.stores import reading, writing
from storage.rows import ImageRow


@dataclass(frozen=True)
class Learned:
    """How a learner stands after a training."""

    learner: str
    dice: float | None  # on held-out labels; None where none are held out
    message: str


@dataclass(frozen=True)
class ProposedImage:
    """An image that a model has just predicted; `ProjectImage.proposal` has the voxels."""

    image: str
    expected_dice: tuple[float, float] | None  # from where to where; None where nothing tells


@dataclass(frozen=True)
class Suggestion:
    """A slice to label next, and why."""

    image: str
    axis: int  # 0 z, 1 y, 2 x
    index: int
    why: str


def open_project(path: str | PathLike[str]) -> "Project":
    """The project in this folder, made where there is none. Raises RuntimeError where a new one cannot be made."""
    root = Path(path).expanduser().resolve()
    if not (root / "project.db").exists():
        with writing(root, new=True):
            pass
    return Project(root)


@dataclass(frozen=True)
class Project:
    """A folder. `project["name"]` is an image, `for image in project` all of them."""

    root: Path

    # see

    def __len__(self) -> int:
        with reading(self.root) as store:
            return store.images(limit=0)[0]

    def __iter__(self) -> Iterator[ProjectImage]:
        return iter([self._image(row) for row in self._rows()])

    def __getitem__(self, name: str | int) -> ProjectImage:
        """By name or by number. Raises LookupError."""
        rows = self._rows()
        found = next((row for row in rows if name in (row.name, row.id)), None)
        if found is None:
            known = ", ".join(row.name for row in rows[:5]) or "none"
            raise LookupError(f"there is no image {name!r} in this project; there are: {known}")
        return self._image(found)

    @property
    def classes(self) -> dict[str, int]:
        """The value of each class in arrays of labels."""
        with reading(self.root) as store:
            return {row.name: row.id for row in store.classes()}

    # say

    def add_class(self, name: str, color: str | None = None) -> int:
        """Its value; that of the class of this name where there is one. `color` as "#42a5f5"."""
        with writing(self.root) as store:
            known = {row.name: row.id for row in store.classes()}
            return known[name] if name in known else store.add_class(name, color).id

    def add_images(
        self,
        path: str | PathLike[str],
        labels: str | PathLike[str] | None = None,
        *,
        objects: bool | None = None,
    ) -> ImportReport:
        """A file or all files below a folder, with their masks; running it again adds what is missing.

        `objects`: mask values number objects (True) or name classes (False); None decides by the values. The report
        has a line for everything that was refused.
        """
        from annotator.exchange.import_act import as_one_act
        from annotator.exchange.import_images import import_path

        data, masks = _there(path), None if labels is None else _there(labels)
        with writing(self.root) as store, as_one_act(store, data.name):
            return import_path(store, data, Job("import"), labels=masks, objects=objects)

    def add_image(
        self,
        name: str,
        pixels: NDArray[Any] | Mapping[str, NDArray[Any]],
        spacing_mm: tuple[float, float, float] | None = None,
    ) -> ProjectImage:
        """An array as an image: (Y, X) or (Z, Y, X) grey, (Y, X, 3) or (Z, Y, X, 3) uint8 colour; or grey arrays by the
        names of their channels. The one that is there where it came before. `spacing_mm` is (z, y, x). Raises
        ValueError."""
        if isinstance(pixels, Mapping):
            scan = scan_of_channels(name, pixels, spacing_mm)
        else:
            scan = scan_of_array(name, pixels, spacing_mm)
        with writing(self.root) as store:
            known = store.find_image(scan)
            row = store.image(store.add_image(scan) if known is None else known)
        return self._image(row)

    # learn

    def train(
        self, learner: str | None = None, *, seconds: float = 120.0, network: str = "auto", adapt: str = ""
    ) -> list[Learned]:
        """Train on all labels for about so long and propose the rest; without a name the app chooses the learner.
        Raises RuntimeError with the reason where nothing could be trained."""
        from annotator.learning.commands import TrainOptions, train

        told = train(self.root, TrainOptions(learner, seconds, network, adapt), _quiet)
        if all(one["state"] in ("failed", "waiting") for one in told):
            raise RuntimeError("; ".join(f"{one['learner']}: {one['message']}" for one in told))
        return [Learned(one["learner"], one["dice"], one.get("message") or "") for one in told]

    def predict(self, learner: str | None = None) -> list[ProposedImage]:
        """Propose labels for every image that the model has not seen; without a name by the newest model. Raises
        LookupError where there is no model, RuntimeError with the reason where it fails."""
        from annotator.learning.commands import predict

        return [
            ProposedImage(one["name"], tuple(one["expected_dice"]) if one["expected_dice"] else None)
            for one in predict(self.root, learner, _quiet)
        ]

    def rank(self, ranker: str | None = None, count: int = 20) -> list[Suggestion]:
        """What to label next, best first; without a name the app chooses the ranker. Raises LookupError."""
        from annotator.learning.commands import rank

        items = rank(self.root, ranker, count).queue["items"]
        return [Suggestion(one["name"], one["axis"], one["index"], one["why"]) for one in items]

    # take out

    def export(
        self,
        target: str | PathLike[str],
        *formats: str,
        ignore: int | None = None,
        originals: str | PathLike[str] | None = None,
    ) -> Path:
        """Labels as files in a new folder or .zip file; without formats the usual ones. `ignore` is written where
        nobody labelled. Raises ValueError where nothing is labelled, FileExistsError."""
        from annotator.exchange.export_labels import ExportRequest, export
        from annotator.exchange.writers import usual_formats

        folder = None if originals is None else _there(originals)
        request = ExportRequest(formats or usual_formats(), ignore, originals=folder)
        job = Job("export")
        with reading(self.root) as store:
            path = export(store, Path(target), request, job)
        for line in job.refused:
            print(line, file=sys.stderr)
        return path

    def export_model(self, folder: str | PathLike[str], learner: str, *, bundle: bool = False) -> Path:
        """A trained model with its card and a script that segments files with it; `bundle`: as a MONAI bundle. Raises
        LookupError."""
        from annotator.learning.commands import take_model_out

        return take_model_out(self.root, learner, Path(folder), bundle=bundle).folder

    def _rows(self) -> list[ImageRow]:
        with reading(self.root) as store:
            return store.images(limit=-1)[1]

    def _image(self, row: ImageRow) -> ProjectImage:
        return ProjectImage(self.root, row)


def _quiet(message: dict[str, Any]) -> None:
    """What a page would be told."""


def _there(path: str | PathLike[str]) -> Path:
    found = Path(path).expanduser().resolve()
    if not found.exists():
        raise FileNotFoundError(f"{found} does not exist; give a file or a folder")
    return found
