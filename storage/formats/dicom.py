"""DICOM: slices grouped into series, sorted by geometry, stacked. No message repeats a value of a header."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from storage.formats.base import DEEP_COLOUR, FileRefused, check_size, integer_type, rgb8
from storage.formats.channels.channelled import Origin, deep_colour
from storage.formats.dicom_headers import (
    Nameless,
    Slice,
    check_picture,
    is_directory,
    number_of,
    read_header,
    slices_of,
    text_of,
)
from storage.formats.dicom_parts import by_folder, split, without_copies
from storage.formats.dicom_pixels import decode, frame_scaling
from storage.formats.dicom_places import check_placed, clustered, same_grid, step
from storage.formats.grid import Grid, Look, grid_of
from storage.formats.privacy import Identities
from storage.scan import Preset, Scan, robust_window, value_range

PLACE_LOST = (
    "its slices do not say how they lie: they keep the order of their numbers, and left and right are unknown"
)
CT_PRESETS: tuple[Preset, ...] = (
    ("soft tissue", -160.0, 240.0), ("lung", -1350.0, 150.0), ("bone", -500.0, 1300.0), ("brain", 0.0, 80.0),
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """The slices of one volume, not yet sorted."""

    slices: tuple[Slice, ...]
    modality: str | None
    number: int | None
    key: str  # unlike any other series'; never shown
    uid: str = ""  # never shown


class Collector:
    """Takes the files of one import one by one and sorts them into series."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
        self._facts: dict[tuple[Any, ...], tuple[str | None, int | None]] = {}
        self._order: dict[int, int] = {}  # of the slices, by their identity

    def add(self, path: Path) -> bool:
        """Read one header; False for an index file (DICOMDIR). Raises FileRefused, Nameless among them."""
        header = read_header(path)
        named = self._identities.learn(header)
        if is_directory(header):
            return False
        try:
            check_picture(header)
        except FileRefused as refusal:
            raise refusal if named else Nameless(str(refusal)) from None
        for found in slices_of(path, header):
            key = _group(path, header, found)
            self._groups[key].append(found)
            self._order[id(found)] = len(self._order)
            self._facts.setdefault(key, (text_of(header, "Modality"), number_of(header, "SeriesNumber")))
        return True

    def series(self) -> list[Series]:
        """In the order in which their first files came."""
        found = []
        for key, slices in self._groups.items():
            groups = (part for group in clustered(slices, same_grid) for part in by_folder(group))
            for number, group in enumerate(groups):
                name = repr((*key, number) if number else key)
                found.append(Series(tuple(group), *self._facts[key], key=name, uid=str(key[0])))
        return sorted(found, key=lambda series: self._order[id(series.slices[0])])


def read_series(series: Series) -> list[tuple[Scan, str]]:
    """Scans named by nothing but modality, each with a warning or ""; several where echoes or times are mixed."""
    unique = without_copies(series.slices)
    copies = len(series.slices) - len(unique)
    note = f"{copies} files were there twice; one copy of each is used" if copies else ""
    return [(_read_volume(part, series.modality), note) for part in split(unique)]


def ordered_parts(series: Series) -> list[list[Slice]]:
    """The slices of each scan that `read_series` would make, in the order of its file grid."""
    return [_in_order(part)[0] for part in split(without_copies(series.slices))]


def look(series: Series) -> list[Look]:
    """Of each scan that `read_series` would make, by headers alone."""
    grids = (_grid(*_in_order(part)) for part in split(without_copies(series.slices)))
    return [Look(grid, _lost(grid)) for grid in grids]


def read(path: Path) -> Scan:
    """One file on its own; a scan of one slice unless it holds frames."""
    collector = Collector(Identities(salt=""))
    if not collector.add(path):
        raise FileRefused("it is an index of DICOM files; import the folder")
    found = collector.series()
    if len(found) != 1:
        raise FileRefused("its frames lie in different planes; save them as separate series")
    scan, _ = read_series(found[0])[0]
    return scan


def _group(path: Path, header: Dataset, found: Slice) -> tuple[Any, ...]:
    uid = text_of(header, "SeriesInstanceUID")
    # a file without a series lies alone unless its folder mates carry a place; frames of one file stay together
    series = uid or (str(path.parent) if found.position else str(path))
    colour = number_of(header, "SamplesPerPixel"), text_of(header, "PhotometricInterpretation")
    return series, text_of(header, "Modality"), found.rows, found.columns, colour


def _read_volume(slices: list[Slice], modality: str | None) -> Scan:
    ordered, affine = _in_order(slices)
    first, grid = ordered[0], _grid(ordered, affine)
    stack = _stack(ordered)
    pixels = grid.to_display(stack.values)
    if stack.deep_bits:
        origin = Origin(modality or "DICOM", grid, _lost(grid))
        return replace(deep_colour(pixels, stack.deep_bits, origin), modality=modality)
    window = None if stack.inverted else first.window
    return Scan(
        name=modality or "DICOM",
        pixels=pixels,
        spacing_mm=grid.spacing_mm,
        marks=grid.marks,
        geometry=grid.json(),
        modality=modality,
        window=window if window and pixels.ndim == 3 else robust_window(pixels),
        value_range=value_range(pixels),
        presets=CT_PRESETS if modality == "CT" else (),
        remarks=(*_lost(grid), *((DEEP_COLOUR,) if stack.narrowed else ())),
    )


def _lost(grid: Grid) -> tuple[str, ...]:
    """What a stack of slices does not say about its place; of a single picture nobody expects it."""
    return (PLACE_LOST,) if grid.shape[2] > 1 and not grid.oriented else ()


def _grid(ordered: list[Slice], affine: NDArray[np.float64] | None) -> Grid:
    first = ordered[0]
    shape = (first.columns, first.rows, len(ordered))
    check_size(shape, 4)
    oriented = first.orientation is not None and first.position is not None
    return grid_of("dicom", shape, affine, oriented=oriented)


def _in_order(slices: list[Slice]) -> tuple[list[Slice], NDArray[np.float64] | None]:
    """Slices along their normal, and the affine from (column, row, slice) to RAS mm."""
    spacing = next((s.spacing for s in slices if s.spacing), None)
    if not check_placed(slices):
        ordered = sorted(slices, key=lambda s: (s.instance[0], str(s.path), s.frame))
        return ordered, None if spacing is None else np.diag([*spacing[::-1], slices[0].thickness, 1.0])
    row, column = np.split(np.array(slices[0].orientation), 2)
    normal = np.cross(row, column)
    ordered = sorted(slices, key=lambda s: float(np.dot(np.array(s.position), normal)))
    way = step(ordered, normal)
    if spacing is None:
        return ordered, None  # how large its pixels are is not known
    between_rows, between_columns = spacing
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [row * between_columns, column * between_rows, way, np.array(ordered[0].position)]
    )
    affine[:2] *= -1  # LPS to RAS
    return ordered, affine


@dataclass(frozen=True)
class Stack:
    """The pixels of a volume, and what was done to them."""

    values: NDArray[Any]  # (i, j, k[, 3]) in real-world units
    inverted: bool  # turned round: MONOCHROME1
    deep_bits: int  # of colours that keep more than 8 bits; 0 of all others
    narrowed: bool  # colours of more than 8 bits have 8 now


def _stack(slices: list[Slice]) -> Stack:
    planes = []
    inverted, bits, palette = False, list[int](), False
    opened: tuple[Path, Any] | None = None
    for number, s in enumerate(slices, start=1):
        try:
            if opened is None or opened[0] != s.path:
                opened = (s.path, decode(s.path))
            frames = opened[1]
            planes.append(frame_scaling(frames, s.frame))
            if planes[-1].ndim == 3 and frames.bits <= 8:
                planes[-1] = rgb8(planes[-1], frames.bits)
        except FileRefused as error:
            raise FileRefused(f"slice {number} of {len(slices)}: {error}") from None
        inverted = inverted or frames.inverted
        palette = palette or frames.palette
        bits += [frames.bits] if planes[-1].ndim == 3 else []
    if len({p.shape for p in planes}) != 1:
        raise FileRefused("its slices differ in size; export it again")
    deep = 0 if palette else _deep_bits(bits)  # a palette is a table of what to show
    narrowed = not deep and max(bits, default=0) > 8
    if narrowed:
        planes = [p if p.dtype == np.uint8 else rgb8(p, n) for p, n in zip(planes, bits, strict=True)]
    volume = _joined(planes)
    return Stack(np.transpose(volume, (2, 1, 0, *range(3, volume.ndim))), inverted, deep, narrowed)


def _deep_bits(bits: list[int]) -> int:
    """Of colours that can keep them; slices of unlike depth have the upper 8 in common."""
    return bits[0] if len(set(bits)) == 1 and 8 < bits[0] <= 16 else 0


def _joined(planes: list[NDArray[Any]]) -> NDArray[Any]:
    """(k, rows, columns[, 3]) in the narrowest type that holds every slice."""
    kinds = {p.dtype for p in planes}
    if len(kinds) > 1 and all(d.kind in "ui" for d in kinds):
        kind = integer_type(min(int(p.min()) for p in planes), max(int(p.max()) for p in planes))
        return np.stack([p.astype(kind) for p in planes])
    return np.stack(planes) if len(kinds) == 1 else np.stack([p.astype(np.float32) for p in planes])
