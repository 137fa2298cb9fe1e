"""Tables of objects and of classes: size, intensity of each channel, and of objects shape, class and who said so.
Places count pixels of the image as displayed. Of a film each object has a row for each frame that it is on.
As CSV, and as Parquet where pyarrow is installed."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops

from annotator.exchange.writers import HAS_PARQUET
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.label_images import numbered
from storage.arrays import open_npy, write_bytes
from storage.fold import newest_labels
from storage.formats.grid import shows_moments
from storage.rows import ClassRow, ImageRow, LabelRow

FILE, CLASSES_FILE = "measurements.csv", "measurements_by_class.csv"
AXES = ("z", "y", "x")
PLANE_SHAPES = {  # of pictures: column -> name of scikit-image
    "perimeter_px": "perimeter",
    "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}
INTENSITIES = ("mean", "standard deviation", "min", "max")


class MeasurementWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._rows: list[dict[str, Any]] = []
        self._by_class: list[dict[str, Any]] = []

    def write(self, image: LabelledImage) -> None:
        self._path = self.folder.share(FILE, image)
        if image.share_known < 1:
            image.tell(
                "some of it is unlabelled: its table holds the objects that are labelled, as far as they are"
            )
        objects = list(_objects_of(image))
        self._rows += objects
        of_class = {row["object"]: row["class"] for row in objects}
        self._by_class += _classes_of(image, Counter(of_class.values()))

    def finish(self, classes: Sequence[ClassRow]) -> None:
        _write(self._path, self._rows, ("image", "object", "class"))
        _write(self.folder.at(CLASSES_FILE), self._by_class, ("image", "class", "objects"))


def _write(path: Path, rows: Sequence[dict[str, Any]], least: Sequence[str]) -> None:
    """`least`: the columns of a table without rows."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or least
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())
    if HAS_PARQUET:
        write_bytes(path.with_suffix(".parquet"), _parquet(rows, names))


def _parquet(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> bytes:
    """What a row does not say is null."""
    from pyarrow import BufferOutputStream, parquet, table

    columns = {name: [row.get(name, "") for row in rows] for name in names}
    told = table({name: [None if v == "" else v for v in column] for name, column in columns.items()})
    out = BufferOutputStream()
    parquet.write_table(told, out)
    return bytes(out.getvalue().to_pybytes())


def _classes_of(image: LabelledImage, objects: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Of every class that has a voxel, all that is labelled so. `objects`: how many of each."""
    channels, names = _channels_of(image.row), {c.id: c.name for c in image.classes}
    for class_id in image.present:
        inside = image.known == class_id
        row: dict[str, Any] = {"image": image.row.source or image.row.name, "class": names[class_id]}
        row["objects"] = objects.get(names[class_id], 0)
        row |= _extent(image, int(np.count_nonzero(inside)), flat=_is_flat(image.row))
        yield row | _intensities({name: values[inside] for name, values in channels.items()})


def _objects_of(image: LabelledImage) -> Iterable[dict[str, Any]]:
    found, channels = numbered(image), _channels_of(image.row)
    names = {c.id: c.name for c in image.classes}
    who = newest_labels(image.row.shape, image.labels)
    flat, film = _is_flat(image.row), shows_moments(image.row.geometry)
    planes = list(enumerate(found.values)) if flat else [(0, found.values)]
    regions = [(k, region) for k, values in planes for region in regionprops(values.astype(np.int32))]
    for k, region in sorted(regions, key=lambda one: int(one[1].label)):
        row = {"image": image.row.source or image.row.name, "object": region.label}
        row |= {"frame": k} if film else {}
        row["class"] = names[found.classes[region.label]]
        row |= _size(image, region, flat=flat) | _place(region, flat=flat)
        if flat:
            row |= {column: _rounded(getattr(region, name)) for column, name in PLANE_SHAPES.items()}
        box = (slice(k, k + 1), *region.slice) if flat else region.slice
        inside = region.image[None] if flat else region.image
        row |= _intensities({name: values[box][inside] for name, values in channels.items()})
        events = [image.labels[n] for n in np.unique(who[box][inside]).tolist() if n >= 0]
        if film:
            row["parent"] = next(iter(_noted(events, "parents", region.label)), "")
        certain = _noted(events, "certainty", region.label)
        row["certainty"] = min(certain, default="")
        yield row | _said_by(events)


def _is_flat(row: ImageRow) -> bool:
    """Whether its objects are measured as pictures: each frame of a film is one."""
    return not row.is_volume or shows_moments(row.geometry)


def _size(image: LabelledImage, region: Any, *, flat: bool) -> dict[str, Any]:
    out = _extent(image, int(region.num_pixels), flat=flat)
    return out | {"diameter_of_same_size_px": _rounded(region.equivalent_diameter_area)}


def _extent(image: LabelledImage, count: int, *, flat: bool) -> dict[str, Any]:
    spacing = image.row.spacing_mm
    unit = ("area_px", "area_mm2") if flat else ("volume_px", "volume_mm3")
    voxel = None if spacing is None else float(np.prod(spacing[1:] if flat else spacing))
    return {unit[0]: count, unit[1]: "" if voxel is None else _rounded(count * voxel)}


def _place(region: Any, *, flat: bool) -> dict[str, Any]:
    axes = AXES[1:] if flat else AXES
    low, high = np.array(region.bbox).reshape(2, -1)
    middle = {f"centre_{axis}": _rounded(v) for axis, v in zip(axes, region.centroid)}
    return (
        middle
        | {f"first_{a}": int(v) for a, v in zip(axes, low)}
        | {f"last_{a}": int(v) - 1 for a, v in zip(axes, high)}
    )


def _channels_of(row: ImageRow) -> dict[str, NDArray[Any]]:
    """Name -> (Z, Y, X): its channels as they are kept, else its one grey value or its colours."""
    if row.named:
        return {f" {channel.name}": open_npy(channel.path) for channel in row.named}
    pixels = open_npy(row.path)
    if row.channels == 1:
        return {"": pixels}
    return {f" {name}": pixels[..., n] for n, name in enumerate("RGB")}


def _intensities(channels: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """(n,) of each channel."""
    out: dict[str, Any] = {}
    for channel, own in channels.items():
        numbers = own.astype(np.float64)
        said = (numbers.mean(), numbers.std(), numbers.min(), numbers.max())
        out |= {f"intensity {name}{channel}": _rounded(v) for name, v in zip(INTENSITIES, said)}
    return out


def _said_by(events: Sequence[LabelRow]) -> dict[str, str]:
    """People and ways of the labels that said the object's pixels."""
    people = sorted({event.author for event in events})
    return {"who": "; ".join(people), "how": "; ".join(sorted({event.source for event in events}))}


def _noted(events: Sequence[LabelRow], what: str, number: int) -> list[Any]:
    """What acceptances noted of an object."""
    notes = (event.prompts.get("accepted", {}).get(what, {}) for event in events)
    return [note[str(number)] for note in notes if str(number) in note]


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")
