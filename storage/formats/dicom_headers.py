"""What one DICOM file says about its slices: told by content, checked, reduced to geometry and what tells slices apart.

No message repeats a value of a header, and none of pydicom's own reaches anybody: they quote values and file names.
"""

import logging
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from storage.formats.base import FileRefused, check_size
from storage.formats.privacy import IDENTIFYING

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
HEADER = [
    *IDENTIFYING, "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ModalityLUTSequence",
    "DimensionIndexSequence",
]  # fmt: skip
# What tells two pictures of one place apart, the plainest first; inside enhanced files they lie with each frame.
# Times of day come last: a slice of its own time is no volume of its own (`dicom_parts`).
SPLITS = (
    "EchoNumbers", "EchoTime", "EffectiveEchoTime", "TemporalPositionIdentifier", "TemporalPositionIndex",
    "TemporalPositionTimeOffset", "TriggerTime", "NominalCardiacTriggerDelayTime", "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase", "FrameReferenceTime", "PhaseNumber", "DiffusionBValue",
    "DiffusionGradientOrientation", "ComplexImageComponent", "ImageType",
    "FrameType", "InversionTime", "InversionTimes", "FlipAngle", "RepetitionTime", "SequenceName", "KVP",
    "ConvolutionKernel", "ContrastBolusAgent", "DimensionIndexValues", "StackID", "AcquisitionNumber",
    "FrameAcquisitionNumber", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", "ContentTime",
)  # fmt: skip
PRIVATE_SPLITS = (  # b-values of Siemens, GE and Philips, and directions of Siemens and GE
    (0x0019, 0x100C), (0x0043, 0x1039), (0x2001, 0x1003), (0x0019, 0x100E), (0x0019, 0x10BB),
)  # fmt: skip
WHERE = (  # dimensions of an enhanced file that say where a frame lies, not which picture of a place it is
    (0x0020, 0x0032), (0x0020, 0x9057), (0x0020, 0x1041), (0x0020, 0x9301), (0x0020, 0x9113),
)  # fmt: skip
TAGS: list[BaseTag] = [*(Tag(name) for name in (*HEADER, *SPLITS)), *(Tag(pair) for pair in PRIVATE_SPLITS)]


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
    traits: tuple[str, ...] = ()  # by SPLITS: what tells two pictures of the same place apart


class Nameless(FileRefused):
    """A refused file whose header names nobody, so that its own name cannot be checked and must not be shown."""


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


def read_header(path: Path) -> Dataset:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=TAGS)
    except Exception:  # a damaged header can raise anything, and the message may quote it
        raise Nameless("its DICOM header is damaged or cut short; copy it again") from None


def is_directory(header: Dataset) -> bool:
    meta = getattr(header, "file_meta", None)
    return meta is not None and meta.get("MediaStorageSOPClassUID") == DIRECTORY_CLASS


def check_picture(header: Dataset) -> None:
    modality = text_of(header, "Modality") or ""
    if modality in NOT_PICTURES:
        raise FileRefused(f"it is {NOT_PICTURES[modality]}, not a picture")
    if not number_of(header, "Rows") or not number_of(header, "Columns"):
        raise FileRefused("it holds no picture, or is cut short")
    check_size(
        (
            number_of(header, "NumberOfFrames") or 1,
            number_of(header, "Rows") or 0,
            number_of(header, "Columns") or 0,
        )
    )


def slices_of(path: Path, header: Dataset) -> Iterable[Slice]:
    frames = number_of(header, "NumberOfFrames") or 1
    shared = _first(header, "SharedFunctionalGroupsSequence")
    groups = header.get("PerFrameFunctionalGroupsSequence") or []
    said = _traits(header)
    plain = replace(_slice(path, 0, header, [header]), traits=_in_turn(said, header))
    if frames == 1 and not groups:
        return [plain]
    if not groups:  # frames without places: a film, shown as a stack
        step = _float(header, "SpacingBetweenSlices")
        spacing = plain.spacing if step else None
        stack = replace(
            plain, position=None, orientation=None, spacing=spacing, thickness=step or plain.thickness
        )
        return [replace(stack, frame=n) for n in range(frames)]
    if len(groups) < frames:
        raise FileRefused("it says of some of its frames only where they lie; export it again")
    common = {**said, **_traits(shared)}
    slices = (_slice(path, n, header, [groups[n], shared, header]) for n in range(frames))
    return [replace(s, traits=_in_turn({**common, **_traits(groups[s.frame])}, header)) for s in slices]


def _slice(path: Path, frame: int, header: Dataset, places: Sequence[Dataset | None]) -> Slice:
    """One frame's values, each from the first place that has it: the frame's own group, the shared one, the file."""
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
        instance=(number_of(header, "InstanceNumber") or 0, text_of(header, "SOPInstanceUID") or ""),
        rows=number_of(header, "Rows") or 0,
        columns=number_of(header, "Columns") or 0,
        position=_find(places, "PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=_unit_axes(_find(places, "PlaneOrientationSequence", "ImageOrientationPatient", 6)),
        spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness=abs(thickness[0])
        if thickness and thickness[0]
        else (spacing[0] if spacing else 1.0) or 1.0,
        window=_window(center, width),
    )


def _traits(data: Dataset | None) -> dict[str, str]:
    """What is said of `SPLITS` here and in the first items of its sequences; the functional groups of frames apart."""
    found: dict[str, str] = {}
    for element in data if data is not None else ():
        try:
            name = element.keyword or str(element.tag)
            if element.VR != "SQ":
                if name in SPLITS or element.tag in PRIVATE_SPLITS:
                    found[name] = str(element.value)
            elif element.value and not name.endswith("FunctionalGroupsSequence"):
                found |= _traits(element.value[0])
        except Exception:  # as in text_of
            continue
    return found


def _in_turn(found: dict[str, str], header: Dataset) -> tuple[str, ...]:
    """In the order of `SPLITS`, then the private ones; of an enhanced file's dimensions those that say no place."""
    if "DimensionIndexValues" in found:
        found = {**found, "DimensionIndexValues": _without_places(found["DimensionIndexValues"], header)}
    names = (*SPLITS, *(str(Tag(tag)) for tag in PRIVATE_SPLITS))
    return tuple(found.get(name, "") for name in names)


def _without_places(values: str, header: Dataset) -> str:
    pointers = [item.get("DimensionIndexPointer") for item in header.get("DimensionIndexSequence") or []]
    numbers = values.strip("[]").split(",")
    if len(pointers) != len(numbers):
        return ""
    return ",".join(n for n, pointer in zip(numbers, pointers, strict=True) if pointer not in map(Tag, WHERE))


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


def _first(data: Dataset | None, keyword: str) -> Dataset | None:
    sequence = data.get(keyword) if data is not None else None
    return sequence[0] if sequence else None


def text_of(header: Dataset, keyword: str) -> str | None:
    try:
        value = header.get(keyword)
        return str(value).strip() or None if value is not None else None
    except Exception:  # lazily decoded values of a damaged header raise anything
        return None


def number_of(header: Dataset, keyword: str) -> int | None:
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
