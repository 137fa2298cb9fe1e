"""RTSTRUCT: for each class the outlines of its voxels on every slice, in the patient's coordinates.

A part with holes is one contour that goes to each hole and back by the same way, as the standard has it: programs that
fill by either rule find the same voxels.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from annotator.exchange.export_report import version
from annotator.exchange.writers.contract import ExportFolder, LabelledImage, Writer
from annotator.exchange.writers.dicom.originals import Originals
from storage.formats.shapes.outlines import one_path, outlines
from storage.rows import ClassRow

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
NO_FRAME = "its series names no frame of reference, so no RTSTRUCT is written"
LONGEST = 64  # characters of a name


class ContourWriter(Writer):
    def __init__(self, folder: ExportFolder) -> None:
        super().__init__(folder)
        self._originals = Originals(folder, "RTSTRUCT")

    def write(self, image: LabelledImage) -> None:
        if (sources := self._originals.headers(image)) is None:
            return
        if not sources[0].get("FrameOfReferenceUID"):
            image.tell(NO_FRAME)
            return
        image.tell_unknown("RTSTRUCT")
        if image.instances is not None:
            image.tell("RTSTRUCT holds classes, so the numbers of its objects are not in it")
        _structure_set(image, sources).save_as(
            self.folder.place(f"{image.name}.rtstruct.dcm", image), enforce_file_format=True
        )


def _structure_set(image: LabelledImage, sources: Sequence[Dataset]) -> FileDataset:
    data = _begun(sources[0])
    frames = np.transpose(image.grid.to_source(image.known), (2, 1, 0))  # slice, row, column
    rows = {one.id: one for one in image.classes}
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(sources)]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, value in enumerate(image.present, start=1):
        roi = _region(number, rows[value], str(sources[0].FrameOfReferenceUID))
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(_contours(number, rows[value], _items(frames == value, sources)))
        data.RTROIObservationsSequence.append(_observation(number, rows[value]))
    return data


def _begun(source: Dataset) -> FileDataset:
    """With the patient and the study of the series."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    for name in (*PATIENT, *STUDY):
        setattr(data, name, source.get(name, ""))
    now = datetime.now(UTC)
    facts = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "RTSTRUCT",
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 301,
        "InstanceNumber": 1,
        "OperatorsName": "",
        "Manufacturer": "Slicewise",
        "ManufacturerModelName": "Slicewise",
        "SoftwareVersions": version(),
        "FrameOfReferenceUID": source.FrameOfReferenceUID,
        "PositionReferenceIndicator": "",
        "StructureSetLabel": "Slicewise",
        "StructureSetDate": now.strftime("%Y%m%d"),
        "StructureSetTime": now.strftime("%H%M%S"),
    }
    return _made(data, facts)


def _frame_of_reference(sources: Sequence[Dataset]) -> Dataset:
    images = [
        _made(
            Dataset(),
            {"ReferencedSOPClassUID": one.SOPClassUID, "ReferencedSOPInstanceUID": one.SOPInstanceUID},
        )
        for one in sources
    ]
    series = {"SeriesInstanceUID": sources[0].SeriesInstanceUID, "ContourImageSequence": images}
    study = {
        "ReferencedSOPClassUID": "1.2.840.10008.3.1.2.3.1",  # a study; retired, and asked for all the same
        "ReferencedSOPInstanceUID": sources[0].StudyInstanceUID,
        "RTReferencedSeriesSequence": [_made(Dataset(), series)],
    }
    frame = {
        "FrameOfReferenceUID": sources[0].FrameOfReferenceUID,
        "RTReferencedStudySequence": [_made(Dataset(), study)],
    }
    return _made(Dataset(), frame)


def _region(number: int, row: ClassRow, frame: str) -> Dataset:
    facts = {
        "ROINumber": number,
        "ReferencedFrameOfReferenceUID": frame,
        "ROIName": row.name[:LONGEST],
        "ROIGenerationAlgorithm": "SEMIAUTOMATIC",
    }
    return _made(Dataset(), facts)


def _observation(number: int, row: ClassRow) -> Dataset:
    numbers = {"ObservationNumber": number, "ReferencedROINumber": number}
    found = _made(Dataset(), {**numbers, "RTROIInterpretedType": "", "ROIInterpreter": ""})
    if row.code:
        code = {
            "CodeValue": row.code.value,
            "CodingSchemeDesignator": row.code.scheme,
            "CodeMeaning": row.code.meaning,
        }
        found.RTROIIdentificationCodeSequence = [_made(Dataset(), code)]
    return found


def _contours(number: int, row: ClassRow, items: Iterator[Dataset]) -> Dataset:
    color = [int(row.color[n : n + 2], 16) for n in (1, 3, 5)]
    facts = {"ROIDisplayColor": color, "ReferencedROINumber": number, "ContourSequence": list(items)}
    return _made(Dataset(), facts)


def _items(mask: NDArray[np.bool_], sources: Sequence[Dataset]) -> Iterator[Dataset]:
    """A contour for each part of (slice, row, column)."""
    for flat, source in zip(mask, sources, strict=True):
        shown = {
            "ReferencedSOPClassUID": source.SOPClassUID,
            "ReferencedSOPInstanceUID": source.SOPInstanceUID,
        }
        for part in outlines(flat):
            points = _places(one_path([part]), source)
            facts = {
                "ContourImageSequence": [_made(Dataset(), shown)],
                "ContourGeometricType": "CLOSED_PLANAR",
                "NumberOfContourPoints": len(points),
                "ContourData": [format_number_as_ds(float(v)) for v in points.ravel()],
            }
            yield _made(Dataset(), facts)


def _places(path: NDArray[np.intp], source: pydicom.Dataset) -> NDArray[np.float64]:
    """(N, 2) x, y of corners of pixels to (N, 3) mm in the patient. A header places the middle of a pixel."""
    along_row, along_column = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in source.PixelSpacing)
    x, y = (path - 0.5).T
    start = np.array(source.ImagePositionPatient, float)
    places = start + np.outer(x * between_columns, along_row) + np.outer(y * between_rows, along_column)
    return np.round(places, 6) + 0.0


def _made(data: Any, facts: Mapping[str, object]) -> Any:
    for name, value in facts.items():
        setattr(data, name, value)
    return data
