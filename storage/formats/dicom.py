"""DICOM: slices grouped into series, sorted by geometry, stacked. No message repeats a value of a header."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from storage.formats.base import FileRefused, check_size, integer_type
from storage.formats.dicom_headers import (
    SPLITS,
    Nameless,
    Slice,
    check_picture,
    is_directory,
    number_of,
    read_header,
    slices_of,
    text_of,
)
from storage.formats.dicom_pixels import decode, frame_scaling
from storage.formats.grid import grid_of
from storage.formats.privacy import Identities
from storage.scan import Preset, Scan, robust_window, value_range

CT_PRESETS: tuple[Preset, ...] = (
    ("soft tissue", -160.0, 240.0), ("lung", -1350.0, 150.0), ("bone", -500.0, 1300.0), ("brain", 0.0, 80.0),
)  # fmt: skip
GAP = 0.05  # slice distances may differ by this share of their median
OFF_LINE_MM = 0.5  # and slice centres may lie this far off a straight line


@dataclass(frozen=True)
class Series:
    """The slices of one volume, not yet sorted."""

    slices: tuple[Slice, ...]
    modality: str | None
    number: int | None
    key: str  # unlike any other series'; never shown


class Collector:
    """Takes the files of one import one by one and sorts them into series."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
        self._facts: dict[tuple[Any, ...], tuple[str | None, int | None]] = {}

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
            self._facts.setdefault(key, (text_of(header, "Modality"), number_of(header, "SeriesNumber")))
        return True

    def series(self) -> list[Series]:
        """In the order in which their first files came."""
        return [
            Series(tuple(slices), *self._facts[key], key=repr(key)) for key, slices in self._groups.items()
        ]


def read_series(series: Series) -> list[tuple[Scan, str]]:
    """Scans named by nothing but modality, each with a warning or ""; several where echoes or times are mixed."""
    unique = _without_copies(series.slices)
    copies = len(series.slices) - len(unique)
    note = f"{copies} files were there twice; one copy of each is used" if copies else ""
    return [(_read_volume(part, series.modality), note) for part in _split(unique)]


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
    orientation = tuple(round(v, 2) + 0.0 for v in found.orientation) if found.orientation else None
    spacing = tuple(round(v, 3) for v in found.spacing) if found.spacing else None
    # a file without a series lies alone unless its folder mates carry a place; frames of one file stay together
    series = uid or (str(path.parent) if found.position else str(path))
    colour = number_of(header, "SamplesPerPixel"), text_of(header, "PhotometricInterpretation")
    return series, text_of(header, "Modality"), orientation, spacing, found.rows, found.columns, colour


def _without_copies(slices: Sequence[Slice]) -> list[Slice]:
    """Of files with the same identity and place, the first."""
    seen: dict[Any, Slice] = {}
    for s in slices:
        own = s.instance[1] or str(s.path)
        seen.setdefault((own, s.frame, s.position), s)
    return list(seen.values())


def _split(slices: list[Slice]) -> list[list[Slice]]:
    """One part per echo, time or acquisition where places repeat; refuses where nothing tells them apart."""
    if not _repeats(slices):
        return [slices]
    for index in range(len(SPLITS)):
        parts = defaultdict(list)
        for s in slices:
            parts[s.traits[index]].append(s)
        if len(parts) > 1 and not any(_repeats(part) for part in parts.values()):
            return list(parts.values())
    raise FileRefused(
        "several of its slices lie at the same place and nothing tells them apart; export it without copies"
    )


def _repeats(slices: list[Slice]) -> bool:
    places = [tuple(round(v, 3) for v in s.position) for s in slices if s.position]
    return len(set(places)) < len(places)


def _read_volume(slices: list[Slice], modality: str | None) -> Scan:
    ordered, affine = _in_order(slices)
    first = ordered[0]
    shape = (first.columns, first.rows, len(ordered))
    check_size(shape, 4)
    oriented = first.orientation is not None and first.position is not None
    grid = grid_of("dicom", shape, affine, oriented=oriented)
    pixels, inverted = _stack(ordered)
    pixels = grid.to_display(pixels)
    window = None if inverted else first.window
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
    )


def _in_order(slices: list[Slice]) -> tuple[list[Slice], NDArray[np.float64] | None]:
    """Slices along their normal, and the affine from (column, row, slice) to RAS mm."""
    first = slices[0]
    if first.orientation is None or any(s.position is None for s in slices):
        ordered = sorted(slices, key=lambda s: (s.instance[0], str(s.path), s.frame))
        return ordered, None if first.spacing is None else np.diag(
            [*first.spacing[::-1], first.thickness, 1.0]
        )
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    ordered = sorted(slices, key=lambda s: float(np.dot(np.array(s.position), normal)))
    positions = np.array([s.position for s in ordered])
    step = _step(positions, normal, first.thickness)
    between_rows, between_columns = first.spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3] = np.column_stack([row * between_columns, column * between_rows, step, positions[0]])
    affine[:2] *= -1  # LPS to RAS
    return ordered, affine


def _step(
    positions: NDArray[np.float64], normal: NDArray[np.float64], thickness: float
) -> NDArray[np.float64]:
    """The way from one slice to the next in mm; refuses gaps and slices off the line."""
    if len(positions) == 1:
        return normal * thickness
    along = np.diff(positions @ normal)
    usual = float(np.median(along))
    wide = np.flatnonzero(np.abs(along - usual) > max(GAP * usual, 0.01))
    if len(wide):
        at = int(wide[0]) + 1
        raise FileRefused(
            f"its slices are unevenly spaced: {along[at - 1]:.2f} mm between slices {at} and {at + 1}, "
            f"{usual:.2f} mm elsewhere ({len(wide)} such gaps); slices are missing, export the whole series again"
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.outer(np.arange(len(positions)), step)
    if np.abs(positions - line).max() > max(OFF_LINE_MM, GAP * usual):
        raise FileRefused("its slices do not lie on one straight grid; export it as a straight series")
    return step


def _stack(slices: list[Slice]) -> tuple[NDArray[Any], bool]:
    """(i, j, k[, 3]) in real-world units, and whether the values were turned round (MONOCHROME1)."""
    planes = []
    inverted = False
    opened: tuple[Path, Any] | None = None
    for number, s in enumerate(slices, start=1):
        try:
            if opened is None or opened[0] != s.path:
                opened = (s.path, decode(s.path))
            frames = opened[1]
            planes.append(frame_scaling(frames, s.frame))
        except FileRefused as error:
            raise FileRefused(f"slice {number} of {len(slices)}: {error}") from None
        inverted = inverted or frames.inverted
    if len({p.shape for p in planes}) != 1:
        raise FileRefused("its slices differ in size; export it again")
    volume = _joined(planes)
    return np.transpose(volume, (2, 1, 0, *range(3, volume.ndim))), inverted


def _joined(planes: list[NDArray[Any]]) -> NDArray[Any]:
    """(k, rows, columns[, 3]) in the narrowest type that holds every slice."""
    kinds = {p.dtype for p in planes}
    if len(kinds) > 1 and all(d.kind in "ui" for d in kinds):
        kind = integer_type(min(int(p.min()) for p in planes), max(int(p.max()) for p in planes))
        return np.stack([p.astype(kind) for p in planes])
    return np.stack(planes) if len(kinds) == 1 else np.stack([p.astype(np.float32) for p in planes])
