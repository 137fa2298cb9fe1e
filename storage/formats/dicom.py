"""DICOM: files told by content, slices grouped into series and sorted by geometry, pixels decoded and rescaled.

No message of this file repeats a value of a header, and none of pydicom's own reaches anybody: they quote values.
"""

import logging
import math
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from storage.formats.base import FileRefused, check_size, integer_type
from storage.formats.dicom_pixels import decode, frame_scaling
from storage.formats.grid import grid_of
from storage.formats.privacy import IDENTIFYING, Identities
from storage.scan import Preset, Scan, robust_window, value_range

warnings.filterwarnings("ignore", module=r"pydicom\b")
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

SUFFIXES = (".dcm", ".dicom", ".ima", "")
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # DICOMDIR: an index of files, no picture
NOT_PICTURES = {
    "SEG": "a segmentation object", "RTSTRUCT": "a set of contours", "RTPLAN": "a treatment plan",
    "RTDOSE": "a dose distribution", "SR": "a report", "PR": "a presentation state", "KO": "a selection",
    "DOC": "a document", "ECG": "a waveform", "REG": "a registration",
}  # fmt: skip
CT_PRESETS: tuple[Preset, ...] = (
    ("soft tissue", -160.0, 240.0), ("lung", -1350.0, 150.0), ("bone", -500.0, 1300.0), ("brain", 0.0, 80.0),
)  # fmt: skip
HEADER = [
    *IDENTIFYING, "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "EchoNumbers", "EchoTime", "AcquisitionNumber", "TemporalPositionIdentifier", "ImageType", "TriggerTime",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ModalityLUTSequence",
]  # fmt: skip
SPLITS = (
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "AcquisitionNumber",
    "ImageType",
)
GAP = 0.05  # slice distances may differ by this share of their median
OFF_LINE_MM = 0.5  # and slice centres may lie this far off a straight line


@dataclass(frozen=True)
class Slice:
    """One frame of one file, as its header describes it."""

    path: Path
    frame: int
    instance: tuple[int, str]  # number and a fingerprint of the file's own identity: same twice = a copy
    rows: int
    columns: int
    position: tuple[float, ...] | None  # mm, LPS
    orientation: tuple[float, ...] | None  # row and column direction cosines, LPS
    spacing: tuple[float, float] | None  # mm between rows, between columns
    thickness: float
    window: tuple[float, float] | None
    traits: tuple[str, ...]  # by SPLITS: what tells two pictures of the same place apart


@dataclass(frozen=True)
class Series:
    """The slices of one volume, not yet sorted."""

    slices: tuple[Slice, ...]
    modality: str | None
    number: int | None
    key: str  # unlike any other series'; never shown


def is_dicom(path: Path) -> bool:
    """By the mark at byte 128; without it by a first tag of group 2 or 8 in a file named like DICOM."""
    with open(path, "rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    return path.suffix.lower() in SUFFIXES and start[:4] in (
        b"\x08\0\x05\0",
        b"\x08\0\x08\0",
        b"\x02\0\0\0",
        b"\x08\0\0\0",
    )


class Nameless(FileRefused):
    """A refused file whose header names nobody, so that its own name cannot be checked and must not be shown."""


class Collector:
    """Takes the files of one import one by one and sorts them into series."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
        self._facts: dict[tuple[Any, ...], tuple[str | None, int | None]] = {}

    def add(self, path: Path) -> bool:
        """Read one header; False for an index file (DICOMDIR). Raises FileRefused, Nameless among them."""
        header = _header(path)
        named = self._identities.learn(header)
        if _is_directory(header):
            return False
        try:
            _check_picture(header)
        except FileRefused as refusal:
            raise refusal if named else Nameless(str(refusal)) from None
        for found in _slices(path, header):
            key = _group(path, header, found)
            self._groups[key].append(found)
            self._facts.setdefault(key, (_text(header, "Modality"), _number(header, "SeriesNumber")))
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


def named(scan: Scan, name: str, source: PurePosixPath | str) -> Scan:
    """The scan under a name and a path that were checked to identify nobody."""
    return replace(scan, name=name, source=str(source))


def _header(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(HEADER))
    except Exception:  # a damaged header can raise anything, and the message may quote it
        raise Nameless("its DICOM header is damaged or cut short; copy it again") from None


def _is_directory(header: Dataset) -> bool:
    meta = getattr(header, "file_meta", None)
    return meta is not None and meta.get("MediaStorageSOPClassUID") == DIRECTORY_CLASS


def _check_picture(header: Dataset) -> None:
    modality = _text(header, "Modality") or ""
    if modality in NOT_PICTURES:
        raise FileRefused(f"it is {NOT_PICTURES[modality]}, not a picture")
    if not _number(header, "Rows") or not _number(header, "Columns"):
        raise FileRefused("it holds no picture, or is cut short")
    check_size(
        (
            _number(header, "NumberOfFrames") or 1,
            _number(header, "Rows") or 0,
            _number(header, "Columns") or 0,
        )
    )


def _slices(path: Path, header: Dataset) -> Iterable[Slice]:
    frames = _number(header, "NumberOfFrames") or 1
    shared = _first(header, "SharedFunctionalGroupsSequence")
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    plain = _slice(path, 0, header, [header])
    if frames == 1 and not groups:
        return [plain]
    if not groups:  # frames without places: a film, shown as a stack
        step = _float(header, "SpacingBetweenSlices")
        spacing = plain.spacing if step else None
        stack = replace(plain, position=None, orientation=None, spacing=spacing, thickness=step or 1.0)
        return [replace(stack, frame=n) for n in range(frames)]
    return [_slice(path, n, header, [groups[n], shared, header]) for n in range(min(frames, len(groups)))]


def _slice(path: Path, frame: int, header: Dataset, places: Sequence[Dataset | None]) -> Slice:
    """One frame's facts, each from the first place that has it: the frame's own group, the shared one, the file."""
    spacing = _find(places, "PixelMeasuresSequence", "PixelSpacing", 2) or _floats(
        header, "ImagerPixelSpacing", 2
    )
    center = _find(places, "FrameVOILUTSequence", "WindowCenter", None)
    width = _find(places, "FrameVOILUTSequence", "WindowWidth", None)
    thickness = _find(places, "PixelMeasuresSequence", "SpacingBetweenSlices", 1)
    thickness = thickness or _find(places, "PixelMeasuresSequence", "SliceThickness", 1)
    return Slice(
        path=path,
        frame=frame,
        instance=(_number(header, "InstanceNumber") or 0, _text(header, "SOPInstanceUID") or ""),
        rows=_number(header, "Rows") or 0,
        columns=_number(header, "Columns") or 0,
        position=_find(places, "PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=_unit_axes(_find(places, "PlaneOrientationSequence", "ImageOrientationPatient", 6)),
        spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness=abs(thickness[0]) if thickness and thickness[0] else 1.0,
        window=_window(center, width),
        traits=tuple(_text(header, keyword) or "" for keyword in SPLITS),
    )


def _find(
    places: Sequence[Dataset | None], sequence: str, keyword: str, count: int | None
) -> tuple[float, ...] | None:
    for place in places:
        if place is None:
            continue
        inner = _first(place, sequence)
        values = _floats(inner if inner is not None else place, keyword, count)
        if values:
            return values
    return None


def _unit_axes(cosines: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if cosines is None:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not all(0.9 < v < 1.1 for v in lengths) or abs(row @ column) > 0.01:
        return None
    return tuple(float(v) for v in (*(row / lengths[0]), *(column / lengths[1])))


def _window(center: tuple[float, ...] | None, width: tuple[float, ...] | None) -> tuple[float, float] | None:
    if not center or not width or width[0] < 1e-6:
        return None
    return center[0] - width[0] / 2, center[0] + width[0] / 2


def _group(path: Path, header: Dataset, found: Slice) -> tuple[Any, ...]:
    uid = _text(header, "SeriesInstanceUID")
    orientation = tuple(round(v, 2) + 0.0 for v in found.orientation) if found.orientation else None
    spacing = tuple(round(v, 3) for v in found.spacing) if found.spacing else None
    # a file without a series lies alone unless its folder mates carry a place; frames of one file stay together
    series = uid or (str(path.parent) if found.position else str(path))
    colour = _number(header, "SamplesPerPixel"), _text(header, "PhotometricInterpretation")
    return series, _text(header, "Modality"), orientation, spacing, found.rows, found.columns, colour


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
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.outer(np.arange(len(positions)), step)
    if np.abs(positions - line).max() > max(OFF_LINE_MM, GAP * usual):
        raise FileRefused("its slices do not lie on one straight grid; export it as a straight series")
    return step


def _stack(slices: list[Slice]) -> tuple[NDArray, bool]:
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


def _joined(planes: list[NDArray]) -> NDArray:
    """(k, rows, columns[, 3]) in the narrowest type that holds every slice."""
    kinds = {p.dtype for p in planes}
    if len(kinds) > 1 and all(d.kind in "ui" for d in kinds):
        kind = integer_type(min(int(p.min()) for p in planes), max(int(p.max()) for p in planes))
        return np.stack([p.astype(kind) for p in planes])
    return np.stack(planes) if len(kinds) == 1 else np.stack([p.astype(np.float32) for p in planes])


def _first(data: Dataset | None, keyword: str) -> Dataset | None:
    sequence = data.get(keyword) if data is not None else None
    return sequence[0] if sequence else None


def _text(header: Dataset, keyword: str) -> str | None:
    try:
        value = header.get(keyword)
        return str(value).strip() or None if value is not None else None
    except Exception:  # lazily decoded values of a damaged header raise anything
        return None


def _number(header: Dataset, keyword: str) -> int | None:
    value = _float(header, keyword)
    return None if value is None else int(value)


def _float(header: Dataset, keyword: str) -> float | None:
    values = _floats(header, keyword, None)
    return values[0] if values else None


def _floats(header: Dataset, keyword: str, count: int | None) -> tuple[float, ...] | None:
    """The finite numbers of a value, None where there are none or not as many as needed."""
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return None
        numbers = [value] if isinstance(value, str | int | float) else list(value)
        found = tuple(float(v) for v in numbers)
    except Exception:  # as above
        return None
    return found if all(map(math.isfinite, found)) and count in (None, len(found)) else None
