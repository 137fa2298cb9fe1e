"""Tolerances are parts of a voxel, at micrometres as at millimetres; units and odd headers are honoured or named."""

import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from storage import formats
from storage.formats import FileRefused, dicom
from storage.formats.privacy import Identities
from storage.scan import Scan
from tests.storage.test_formats_dicom import dataset, read_all, volume

SIZES = [5.0, 0.5, 0.005, 0.0004, 0.00002]  # mm: from a thick slice to a tenth of a light wave
BYTES = np.random.default_rng(1).integers(0, 900, (8, 10, 12)).astype("<i2")
NRRD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 12 10 8\nendian: little\nencoding: raw\n"
LPS = "space: left-posterior-superior\nspace directions: (0.5,0,0) (0,0.5,0) (0,0,2)\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 12 10 8\nElementType = MET_SHORT\n"


def series(folder: Path, positions: list[Any], **fields: Any) -> list[Path]:
    """One slice a position; a value that is a list of lists gives each slice its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, position in enumerate(positions):
        own = {key: value[number] if isinstance(value, tuple) else value for key, value in fields.items()}
        page = np.full((10, 12), 10 * number, np.uint16)
        data = dataset(page, **{"InstanceNumber": number + 1, **own, "ImagePositionPatient": position})
        data.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def up(*steps: float, size: float = 1.0) -> list[list[float]]:
    return [[0, 0, float(f"{size * step:.9g}")] for step in steps]


# DICOM


@pytest.mark.parametrize("size", SIZES)
def test_a_missing_slice_is_noticed_at_every_scale(tmp_path: Path, size: float):
    spacing = [size, size]
    whole = series(tmp_path / "whole", up(*range(6), size=size), PixelSpacing=spacing, SliceThickness=size)
    (scan,) = read_all(*whole)
    assert scan.shape == (6, 10, 12) and scan.spacing_mm == pytest.approx((size, size, size))
    with pytest.raises(FileRefused, match="unevenly spaced: .* between slices 3 and 4"):
        read_all(*series(tmp_path / "gap", up(0, 1, 2, 4, 5, size=size), PixelSpacing=spacing))


@pytest.mark.parametrize("jitter", [1e-7, 1e-6, 1e-4])
@pytest.mark.parametrize("centre", [0.0, 0.005, 0.015])
def test_a_tilt_that_jitters_parts_no_series(tmp_path: Path, centre: float, jitter: float):
    tilts = [centre + (jitter if n % 2 else -jitter) for n in range(8)]
    directions = tuple([np.sqrt(1 - a * a), a, 0, -a, np.sqrt(1 - a * a), 0] for a in tilts)
    (scan,) = read_all(*series(tmp_path / "s", up(*range(8)), ImageOrientationPatient=directions))
    assert scan.shape == (8, 10, 12)


def test_a_pixel_size_that_jitters_parts_no_series_and_another_size_does(tmp_path: Path):
    sizes = tuple([0.5005 + (1e-6 if n % 2 else -1e-6)] * 2 for n in range(6))
    (scan,) = read_all(*series(tmp_path / "jitter", up(*range(6)), PixelSpacing=sizes))
    assert scan.shape == (6, 10, 12)
    tiny = tuple([0.0003 if n < 3 else 0.0004] * 2 for n in range(6))
    scans = read_all(*series(tmp_path / "two", up(*range(3), *range(3), size=0.0005), PixelSpacing=tiny))
    assert [scan.shape[0] for scan in scans] == [3, 3]
    assert {scan.spacing_mm[1] for scan in scans if scan.spacing_mm} == {0.0003, 0.0004}


@pytest.mark.parametrize("field", ["ImagePositionPatient", "ImageOrientationPatient"])
@pytest.mark.parametrize("lost", [0, 2, 4])
def test_a_slice_that_does_not_say_where_it_lies_is_refused(tmp_path: Path, lost: int, field: str):
    places: list[Any] = [[3.0 * n, 0, 0] for n in range(5)]
    directions: list[Any] = [[0, 1, 0, 0, 0, -1]] * 5
    (places if field == "ImagePositionPatient" else directions)[lost] = None
    paths = series(tmp_path / "s", places, ImageOrientationPatient=tuple(directions))
    with pytest.raises(FileRefused, match="1 of its 5 slices do not say where they lie"):
        read_all(*paths)


@pytest.mark.parametrize(
    ("keyword", "first", "second"),
    [
        ("EchoTime", 10, 20),
        ("TemporalPositionIdentifier", 1, 2),
        ("TriggerTime", 0, 50),
        ("DiffusionBValue", 0.0, 1000.0),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]),
        ("InversionTime", 100, 200),
        ("FlipAngle", 5, 20),
        ("KVP", 80, 140),
        ("ConvolutionKernel", "B30", "B70"),
        ("AcquisitionTime", "101010", "101020"),
    ],
)
def test_pictures_of_one_place_become_volumes_of_their_own(
    tmp_path: Path, keyword: str, first: Any, second: Any
):
    values = tuple([first] * 4 + [second] * 4)
    scans = read_all(*series(tmp_path / "s", up(*range(4), *range(4)), **{keyword: values}))
    assert [scan.pixels[::-1, 0, 0].tolist() for scan in scans] == [
        [n * 10 - 1024 for n in range(start, start + 4)] for start in (0, 4)
    ]


def test_echoes_of_several_times_are_told_apart_by_both(tmp_path: Path):
    echoes = tuple(1 + n // 4 % 2 for n in range(24))
    times = tuple(1 + n // 8 for n in range(24))
    jitter = [[0, 0, n % 4 + 1e-5 * (n // 4)] for n in range(24)]  # a table that comes back almost exactly
    scans = read_all(
        *series(
            tmp_path / "s", jitter, EchoNumbers=echoes, TemporalPositionIdentifier=times, InstanceNumber=1
        )
    )
    assert [scan.shape[0] for scan in scans] == [4] * 6


def test_a_time_of_day_of_its_own_for_every_slice_makes_no_volumes(tmp_path: Path):
    times = tuple(f"1010{n:02}" for n in range(8))
    with pytest.raises(FileRefused, match="nothing tells them apart"):
        read_all(*series(tmp_path / "s", up(*range(4), *range(4)), AcquisitionTime=times))


def enhanced(path: Path, frames: list[Dataset], **fields: Any) -> Scan | list[Scan]:
    """A file of as many frames; each lies where its number within a volume of five says."""
    pixels = np.concatenate([volume()] * (len(frames) // 5))
    data = dataset(pixels, SOPClassUID=EnhancedMRImageStorage, Modality="MR", ImageOrientationPatient=None)
    data.NumberOfFrames = len(frames)
    plane, measures, shared = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 2
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    for number, frame in enumerate(frames):
        place = Dataset()
        place.ImagePositionPatient = [0, 0, -2.0 * (number % 5)]
        frame.PlanePositionSequence = [place]
    data.PerFrameFunctionalGroupsSequence = frames
    for keyword, value in fields.items():
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return read_all(path)


def within(sequence: str, **values: Any) -> Dataset:
    """A frame's functional groups with one of them."""
    frame, inner = Dataset(), Dataset()
    for keyword, value in values.items():
        setattr(inner, keyword, value)
    setattr(frame, sequence, [inner])
    return frame


@pytest.mark.parametrize(
    ("sequence", "keyword", "values"),
    [
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2, 3)),
        ("MREchoSequence", "EffectiveEchoTime", (10.0, 20.0, 30.0)),
        ("MRDiffusionSequence", "DiffusionBValue", (0.0, 500.0, 1000.0)),
        ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", (0.0, 50.0, 100.0)),
        ("MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE", "REAL")),
    ],
)
def test_what_tells_frames_apart_makes_volumes_inside_one_file(
    tmp_path: Path, sequence: str, keyword: str, values: tuple[Any, ...]
):
    frames = [within(sequence, **{keyword: values[number // 5]}) for number in range(15)]
    scans = enhanced(tmp_path / "a.dcm", frames)
    assert isinstance(scans, list) and [scan.shape[0] for scan in scans] == [5, 5, 5]
    assert all(np.array_equal(scan.pixels, scans[0].pixels) for scan in scans)


def test_dimensions_of_an_enhanced_file_tell_frames_apart_but_those_of_place(tmp_path: Path):
    frames = [
        within("FrameContentSequence", DimensionIndexValues=[number % 5 + 1, number // 5 + 1])
        for number in range(10)
    ]
    pointers = []
    for tag in (0x00209057, 0x00200105):
        pointer = Dataset()
        pointer.DimensionIndexPointer = tag
        pointers.append(pointer)
    scans = enhanced(tmp_path / "a.dcm", frames, DimensionIndexSequence=pointers)
    assert isinstance(scans, list) and [scan.shape[0] for scan in scans] == [5, 5]


# NIfTI


def nifti(path: Path, *, sform: int = 1, qform: int = 1, **raw: bytes) -> Path:
    """12 x 10 x 8 voxels of 1.5, 1.5 and 3 mm; `raw` writes bytes at an offset "at280"."""
    affine = np.array([[-1.5, 0, 0, 90], [0, 1.5, 0, -100], [0, 0, 3, -50], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(BYTES.T, affine)
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    content = bytearray(image.to_bytes())
    for place, value in raw.items():
        content[int(place[2:]) : int(place[2:]) + len(value)] = value
    path.write_bytes(content)
    return path


def flat(value: float) -> bytes:
    return np.array([[value, 0, 0, 1], [value, 0, 0, 1], [0, 0, 3, 1]], "<f4").tobytes()


@pytest.mark.parametrize("sform", [bytes(48), flat(1.5), flat(float("nan"))])
def test_a_sound_qform_counts_where_the_sform_is_none(tmp_path: Path, sform: bytes):
    scan = formats.read(nifti(tmp_path / "a.nii", at280=sform))
    whole = formats.read(nifti(tmp_path / "b.nii"))
    assert scan.spacing_mm == pytest.approx((3, 1.5, 1.5)) and scan.marks == whole.marks
    assert np.array_equal(scan.pixels, whole.pixels)
    assert "its qform says" in scan.remarks[0] and whole.remarks == ()


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (0.2, False), (3.0, True)])
def test_forms_that_contradict_each_other_are_told(tmp_path: Path, shift: float, told: bool):
    image = nib.Nifti1Image(BYTES, np.diag([2.0, 2, 3, 1]))
    other = np.diag([2.0, 2, 3, 1])
    other[2, 3] = shift
    image.set_qform(other, 1)
    image.set_sform(np.diag([2.0, 2, 3, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    assert formats.read(tmp_path / "a.nii").remarks == (
        ("its sform and qform place it differently, and the sform is taken",) if told else ()
    )


def test_a_place_that_is_lost_is_said_and_the_voxel_size_kept(tmp_path: Path):
    scan = formats.read(nifti(tmp_path / "a.nii", qform=0, at280=bytes(48)))
    assert scan.marks is None and scan.spacing_mm == pytest.approx((3, 1.5, 1.5))
    assert "nothing says how it lies" in scan.remarks[0]
    none = formats.read(nifti(tmp_path / "b.nii", qform=0, sform=0, at80=bytes(12)))
    assert none.spacing_mm is None and none.marks is None


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (5, 1)])
def test_the_unit_of_a_nifti_is_honoured_or_named(tmp_path: Path, unit: int, factor: float):
    scan = formats.read(nifti(tmp_path / "a.nii", at123=bytes([unit])))
    assert scan.spacing_mm == pytest.approx((3 * factor, 1.5 * factor, 1.5 * factor))
    assert bool(scan.remarks) == (unit == 5)


# NRRD and MetaImage


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("um", 1e-3),
        ("µm", 1e-3),
        ("microns", 1e-3),
        ("nm", 1e-6),
        ("mm", 1),
        ("cm", 10),
        ("m", 1000),
        ("", 1),
    ],
)
def test_the_units_of_an_nrrd_are_honoured(tmp_path: Path, unit: str, factor: float):
    units = f'"{unit}" "{unit}" "{unit}"\n\n'
    for number, header in enumerate(
        (f"{NRRD}{LPS}space units: {units}", f"{NRRD}spacings: 0.5 0.5 2\nunits: {units}")
    ):
        path = tmp_path / f"{number}.nrrd"
        path.write_bytes(header.encode() + BYTES.tobytes())
        scan = formats.read(path)
        assert scan.spacing_mm == pytest.approx((2 * factor, 0.5 * factor, 0.5 * factor))
        assert scan.remarks == ()


def test_a_unit_that_is_no_length_is_said(tmp_path: Path):
    path = tmp_path / "a.nrrd"
    path.write_bytes(f'{NRRD}{LPS}space units: "pixel" "pixel" "pixel"\n\n'.encode() + BYTES.tobytes())
    assert "unit of length" in formats.read(path).remarks[0]


@pytest.mark.parametrize(("unit", "factor"), [("um", 1e-3), ("mm", 1), ("cm", 10)])
def test_the_unit_of_a_metaimage_is_honoured(tmp_path: Path, unit: str, factor: float):
    header = f"{META}ElementSpacing = 0.5 0.5 2\nDistanceUnits = {unit}\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header.encode() + BYTES.tobytes())
    assert formats.read(tmp_path / "a.mha").spacing_mm == pytest.approx(
        (2 * factor, 0.5 * factor, 0.5 * factor)
    )


def test_a_header_that_gives_no_spacing_gets_none(tmp_path: Path):
    (tmp_path / "a.nrrd").write_bytes(f"{NRRD}\n".encode() + BYTES.tobytes())
    (tmp_path / "b.nrrd").write_bytes(f"{NRRD}spacings: 1 2 nan\n\n".encode() + BYTES.tobytes())
    (tmp_path / "c.mha").write_bytes(f"{META}ElementDataFile = LOCAL\n".encode() + BYTES.tobytes())
    assert [formats.read(path).spacing_mm for path in sorted(tmp_path.iterdir())] == [None] * 3


@pytest.mark.parametrize("vectors", ["(0,0,0) (0,0,0) (0,0,0)", "(1,0,0) (1,0,0) (0,0,1)"])
def test_directions_that_are_flat_are_refused(tmp_path: Path, vectors: str):
    header = f"{NRRD}space: left-posterior-superior\nspace directions: {vectors}\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + BYTES.tobytes())
    with pytest.raises(FileRefused, match="its spacing is zero or its directions are flat"):
        formats.read(tmp_path / "a.nrrd")


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("before", ["", "./", ".\\"])
@pytest.mark.parametrize("name", ["Gef\u00e4\u00df.raw", "a b (1).raw", "d'\u00e9t\u00e9.raw"])
def test_pixels_beside_their_header_are_found_however_it_spells_them(
    tmp_path: Path, name: str, before: str, coding: str
):
    (tmp_path / name).write_bytes(BYTES.tobytes())
    (tmp_path / "a.nhdr").write_bytes(f"{NRRD}{LPS}data file: {before}{name}\n".encode(coding))
    meta = f"{META}Comment = \u00e4\nElementSpacing = 0.5 0.5 2\nElementDataFile = {before}{name}\n"
    (tmp_path / "b.mhd").write_bytes(meta.encode(coding))
    for header in ("a.nhdr", "b.mhd"):
        scan = formats.read(tmp_path / header)
        assert np.array_equal(scan.pixels, BYTES if header == "b.mhd" else BYTES[::-1]), header


def test_a_name_in_other_accents_or_case_is_the_file_on_disk(tmp_path: Path):
    (tmp_path / "Gef\u00e4\u00df.RAW").write_bytes(BYTES.tobytes())
    (tmp_path / "a.nhdr").write_text(f"{NRRD}{LPS}data file: Gefa\u0308\u00df.raw\n", "utf-8")
    assert formats.read(tmp_path / "a.nhdr").shape == (8, 10, 12)


def test_vectors_that_are_no_colours_are_channels_and_no_mask(tmp_path: Path):
    header = "NRRD0005\ntype: uchar\ndimension: 4\nsizes: 3 12 10 8\nencoding: raw\nkinds: {} domain domain domain\n\n"
    values = np.arange(3 * 960, dtype=np.uint8).tobytes()
    (tmp_path / "a.nrrd").write_bytes(header.format("covariant-vector").encode() + values)
    (tmp_path / "b.nrrd").write_bytes(header.format("RGB-color").encode() + values)
    whole = np.frombuffer(values, np.uint8).reshape(8, 10, 12, 3)
    scan = formats.read(tmp_path / "a.nrrd")
    assert [channel.name for channel in scan.named] == ["Component 1", "Component 2", "Component 3"]
    for number, channel in enumerate(scan.named):
        assert np.array_equal(channel.values, whole[..., number])
    with pytest.raises(FileRefused, match="it has 3 values a voxel and a mask has one"):
        formats.read_labels(tmp_path / "a.nrrd")
    assert formats.read(tmp_path / "b.nrrd").channels == 3


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_a_voxel_size_that_is_missing_along_an_axis_is_told(tmp_path: Path, missing: float):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<hh", content, 252, 0, 0)  # neither qform nor sform
    struct.pack_into("<fff", content, 80, missing, 1.0, 2.0)
    path.write_bytes(content)
    scan = formats.read(path)
    assert scan.spacing_mm == (2, 1, 2) and "voxel size is missing along an axis" in scan.remarks[0]


def test_pixels_that_begin_inside_the_header_are_refused(tmp_path: Path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)), path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, 0.0)
    path.write_bytes(content)
    with pytest.raises(FileRefused, match="begin inside its header"):
        formats.read(path)


@pytest.mark.parametrize("directions", [None, [0] * 6, [1, 0, 0, 0.5, 0.8660254, 0]])
def test_slices_that_do_not_say_how_they_lie_are_told(tmp_path: Path, directions: Any):
    paths = series(tmp_path / "s", up(*range(5)), ImageOrientationPatient=directions)
    (scan,) = read_all(*paths)
    assert scan.marks is None and scan.remarks == (dicom.PLACE_LOST,)
    (seen,) = [seen for one in dicom_series(paths) for seen in formats.look_at_series(one)]
    assert seen.remarks == scan.remarks
    (single,) = read_all(*series(tmp_path / "one", up(0), ImageOrientationPatient=directions))
    assert not single.remarks


def dicom_series(paths: list[Path]) -> list[dicom.Series]:
    collector = dicom.Collector(Identities("salt"))
    for path in paths:
        collector.add(path)
    return collector.series()


def test_a_gap_is_told_by_distances_that_occur(tmp_path: Path):
    with pytest.raises(
        FileRefused, match=r"2.00 mm between slices 3 and 4, 1.00 mm elsewhere \(2 such gaps\)"
    ):
        read_all(*series(tmp_path / "s", up(0, 1, 2, 4, 6)))
