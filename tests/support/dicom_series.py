"""CT series on disk, whole enough for other programs: oblique, feet first, or of thick slices."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (6, 5, 7)  # slices, rows, columns
_ROW = np.array([0.9, 0.3, -0.316])
_ROW /= np.linalg.norm(_ROW)
_COLUMN = np.cross([-0.2, 0.3, 0.93], _ROW)
_COLUMN /= np.linalg.norm(_COLUMN)
DIRECTIONS = {
    "oblique": (_ROW, _COLUMN),
    "flipped": (np.array([-1.0, 0, 0]), np.array([0, 1.0, 0])),
    "sagittal": (np.array([0, 1.0, 0]), np.array([0, 0, -1.0])),
}


def save_series(folder: Path, kind: str) -> str:
    """Files in no order of their places; the series' UID."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = DIRECTIONS[kind]
    normal = np.cross(row, column)
    pixels = np.random.default_rng(len(kind)).integers(0, 4000, SHAPE).astype(np.uint16)
    shared = {key: generate_uid() for key in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for at, number in enumerate([3, 0, 5, 1, 4, 2]):
        data = _slice(pixels[number])
        for key, uid in shared.items():
            setattr(data, key, uid)
        data.InstanceNumber = at + 1
        data.ImageOrientationPatient = [float(v) for v in (*row, *column)]
        data.ImagePositionPatient = [float(v) for v in np.array([10, -20, 30]) + normal * 2.5 * number]
        data.save_as(folder / f"{at:03}.dcm", enforce_file_format=True)
    return shared["SeriesInstanceUID"]


def _slice(pixels: np.ndarray) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality, data.PatientName, data.PatientID, data.PatientBirthDate = (
        "CT",
        "Doe^Jane",
        "QX-4711",
        "19700314",
    )
    data.PatientSex, data.StudyID, data.AccessionNumber, data.SeriesNumber = "F", "1", "", 1
    data.StudyDate, data.StudyTime, data.ReferringPhysicianName, data.Manufacturer = (
        "20200102",
        "120000",
        "",
        "",
    )
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelSpacing, data.SliceThickness = [0.5, 0.75], 2.5
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = pixels.tobytes()
    return data
