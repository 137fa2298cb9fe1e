"""DICOM series: sorted by geometry, decoded, rescaled; nothing about the patient gets through."""

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from storage import formats
from storage.formats import FileRefused, dicom, grid_from_json
from storage.formats.privacy import Identities
from storage.scan import Scan
from tests.conftest import ROOT

SHAPE = (5, 6, 8)  # slices, rows, columns
CARRIED = Path(pydicom.__file__).parent / "data" / "test_files"


def volume() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4000, SHAPE).astype(np.uint16)


def dataset(pixels: np.ndarray, **fields: Any) -> FileDataset:
    """A CT slice; any field can be set or, by None, left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": "1.2.3.4.5.6.7",
        "Modality": "CT",
        "PatientName": "Doe^Jane",
        "PatientID": "QX-4711",
        "PatientBirthDate": "19700314",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "WindowCenter": [40, 400],
        "WindowWidth": [300, 2000],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        **fields,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(data, keyword, value)
    data.PixelData = pixels.tobytes()
    return data


def save_series(folder: Path, pixels: np.ndarray | None = None, **fields: Any) -> list[Path]:
    """Slices two millimetres apart, under names that say nothing about their order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, page in enumerate(volume() if pixels is None else pixels):
        position = fields.get("ImagePositionPatient", [-10.0, -20.0, 100.0 - 2 * number])
        data = dataset(page, **{**fields, "ImagePositionPatient": position, "InstanceNumber": number + 1})
        path = folder / f"{(number * 3) % 7}_{generate_uid()[-6:]}"
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def read_all(*paths: Path) -> list[Scan]:
    collector = dicom.Collector(Identities("salt"))
    for path in paths:
        collector.add(path)
    return [scan for series in collector.series() for scan, _ in formats.read_series(series)]


def one(*paths: Path) -> Scan:
    (scan,) = read_all(*paths)
    return scan


def test_slices_are_sorted_by_where_they_lie_and_rescaled(tmp_path: Path):
    scan = one(*sorted(save_series(tmp_path)))
    assert scan.pixels.dtype == np.int16
    assert np.array_equal(scan.pixels, volume().astype(np.int16) - 1024)  # slice 0 lies highest
    assert scan.spacing_mm == (2.0, 0.5, 0.75)
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
    assert scan.window == (-110.0, 190.0)
    assert {name for name, _, _ in scan.presets} == {"soft tissue", "lung", "bone", "brain"}


def test_a_sagittal_series_is_shown_head_up(tmp_path: Path):
    folder = tmp_path / "sagittal"
    folder.mkdir()
    for number, page in enumerate(volume()):
        data = dataset(
            page,
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            ImagePositionPatient=[3.0 * number, 0, 0],
            InstanceNumber=1,
        )
        data.save_as(folder / str(number), enforce_file_format=True)
    scan = one(*sorted(folder.iterdir()))
    assert scan.shape == (6, 8, 5)
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
    assert np.array_equal(scan.pixels, volume().astype(np.int16).transpose(1, 2, 0) - 1024)


def test_series_orientations_and_sizes_in_one_folder_are_told_apart(tmp_path: Path):
    save_series(tmp_path, SeriesInstanceUID="1.2.3.1")
    save_series(tmp_path, volume()[:3], SeriesInstanceUID="1.2.3.2")
    save_series(
        tmp_path, volume()[:1], SeriesInstanceUID="1.2.3.1", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
    )
    save_series(tmp_path, volume()[:1, :4], SeriesInstanceUID="1.2.3.1")
    scans = read_all(*sorted(tmp_path.iterdir()))
    assert sorted(scan.shape[0] for scan in scans) == [1, 1, 3, 5]


def test_a_missing_slice_is_refused_and_named(tmp_path: Path):
    paths = save_series(tmp_path)
    with pytest.raises(FileRefused, match=r"4\.00 mm between slices 2 and 3, 2\.00 mm elsewhere"):
        read_all(*(p for n, p in enumerate(paths) if n != 2))


def test_a_copied_slice_counts_once(tmp_path: Path):
    paths = save_series(tmp_path)
    (tmp_path / "copy").write_bytes(paths[2].read_bytes())
    collector = dicom.Collector(Identities("salt"))
    for path in (*paths, tmp_path / "copy"):
        collector.add(path)
    ((scan, note),) = formats.read_series(collector.series()[0])
    assert scan.shape == SHAPE
    assert "1 files were there twice" in note


def test_echoes_become_volumes_of_their_own_and_unexplained_repeats_are_refused(tmp_path: Path):
    save_series(tmp_path / "a", EchoNumbers=1)
    save_series(tmp_path / "a", volume() // 2, EchoNumbers=2)
    assert [s.shape for s in read_all(*sorted((tmp_path / "a").iterdir()))] == [SHAPE, SHAPE]
    save_series(tmp_path / "b")
    save_series(tmp_path / "b", volume() // 2)
    with pytest.raises(FileRefused, match="nothing tells them apart"):
        read_all(*sorted((tmp_path / "b").iterdir()))


def test_monochrome1_is_turned_round(tmp_path: Path):
    fields: dict[str, Any] = {
        "PhotometricInterpretation": "MONOCHROME1",
        "RescaleSlope": None,
        "RescaleIntercept": None,
    }
    scan = one(*save_series(tmp_path, **fields))
    assert np.array_equal(scan.pixels, 4095 - volume().astype(np.int32))


def test_slopes_that_differ_from_slice_to_slice_are_applied_one_by_one(tmp_path: Path):
    for number, page in enumerate(volume()):
        data = dataset(
            page, RescaleSlope=0.5 + number, RescaleIntercept=0, ImagePositionPatient=[0, 0, -2.0 * number]
        )
        data.save_as(tmp_path / str(number), enforce_file_format=True)
    expected = volume() * (0.5 + np.arange(5))[:, None, None]
    assert np.allclose(one(*sorted(tmp_path.iterdir())).pixels, expected)


def test_an_enhanced_file_with_frames_is_a_volume(tmp_path: Path):
    data = dataset(volume(), SOPClassUID=EnhancedMRImageStorage, Modality="MR", ImageOrientationPatient=None)
    data.NumberOfFrames = SHAPE[0]
    shared, plane, measures, scaling = Dataset(), Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 2
    scaling.RescaleSlope, scaling.RescaleIntercept = 2, 1
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    shared.PixelValueTransformationSequence = [scaling]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number in (3, 0, 4, 2, 1):
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, -2.0 * number]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    del data.PixelSpacing, data.RescaleSlope, data.RescaleIntercept
    data.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    scan = one(tmp_path / "enhanced.dcm")
    assert np.array_equal(scan.pixels, volume()[[1, 4, 3, 0, 2]].astype(np.int32) * 2 + 1)
    assert scan.spacing_mm == (2.0, 0.5, 0.75)


def test_rle_is_decoded(tmp_path: Path):
    data = dataset(volume()[0], ImagePositionPatient=[0, 0, 0])
    data.compress(RLELossless)
    data.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    assert np.array_equal(formats.read(tmp_path / "rle.dcm").pixels[0], volume()[0].astype(np.int16) - 1024)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_every_transfer_syntax_gives_the_same_pixels(name: str):
    expected = formats.read(CARRIED / "MR_small.dcm")
    scan = formats.read(CARRIED / name)
    assert np.array_equal(scan.pixels, expected.pixels)
    assert scan.spacing_mm == expected.spacing_mm and scan.window == expected.window


def test_colours_of_every_kind_are_read_as_rgb():
    for name in (
        "examples_rgb_color.dcm",
        "examples_palette.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle_16bit.dcm",
    ):
        pixels = formats.read(CARRIED / name).pixels
        assert pixels.ndim == 4 and pixels.dtype == np.uint8 and pixels.max() > 100


@pytest.mark.parametrize(
    "name", ["rtplan.dcm", "test-SR.dcm", "liver_1frame.dcm", "MR_truncated.dcm", "rtdose.dcm"]
)
def test_what_is_no_picture_or_cut_short_is_refused(name: str):
    with pytest.raises(FileRefused, match="not a picture|cut short"):
        formats.read(CARRIED / name)


# privacy

SECRETS = ("doe", "jane", "4711", "1970", "1403", "gruber", "a99881", "20240229", "29022024")


def patient_series(folder: Path) -> list[Path]:
    return save_series(
        folder,
        AccessionNumber="A99881",
        ReferringPhysicianName="Gruber^Hans",
        StudyDate="20240229",
        Modality="MR",
    )


@pytest.mark.parametrize(
    "folder", ["Doe_Jane_CT", "jane", "x/4711-QX/y", "qx4711", "14.03.1970", "A-99881", "DOE"]
)
def test_a_folder_that_names_the_patient_gives_no_name(store, tmp_path: Path, caplog, folder: str):
    caplog.set_level(logging.DEBUG)
    patient_series(tmp_path / "in" / folder)
    (tmp_path / "in" / folder / "broken.dcm").write_bytes((CARRIED / "MR_truncated.dcm").read_bytes())
    (tmp_path / "in" / folder / "note.docx").write_bytes(b"not read here")
    job = Job("import")
    report = import_path(store, tmp_path / "in" / folder.split("/")[0], job)
    _, rows = store.images()
    told = (
        json.dumps([[r.name, r.source, r.geometry] for r in rows])
        + " ".join(job.refused)
        + job.progress.message
    )
    assert len(report.added) == 1 and rows[0].modality == "MR"
    assert not [s for s in SECRETS if s in (told + caplog.text).lower()]


def test_nothing_of_the_header_is_in_the_database(store, tmp_path: Path):
    paths = patient_series(tmp_path / "in" / "series7")
    import_path(store, tmp_path / "in", Job("import"))
    _, (row,) = store.images()
    assert row.name == "series7 MR" and row.source == "series7"
    content = b"".join(p.read_bytes() for p in sorted(store.root.glob("project.db*"))).lower()
    uids = [str(pydicom.dcmread(p).SOPInstanceUID) for p in paths] + ["1.2.3.4.5.6.7"]
    # as words: three letters in a row come about by chance in bytes that say nothing
    words = [rb"(?<![a-z0-9])" + re.escape(s).encode() + rb"(?![a-z0-9])" for s in (*SECRETS, *uids)]
    assert not [word for word in words if re.search(word, content)]


def test_the_same_series_gets_the_same_stand_in_again(store, tmp_path: Path):
    patient_series(tmp_path / "Doe")
    import_path(store, tmp_path / "Doe", Job("import"))
    again = import_path(store, tmp_path / "Doe", Job("import"))
    assert again.added == () and again.known == 1


def test_nothing_is_said_on_the_terminal_about_a_damaged_file(tmp_path: Path):
    path = tmp_path / "Doe_Jane.dcm"
    content = (CARRIED / "MR_small_RLE.dcm").read_bytes()
    path.write_bytes(content[: len(content) - 900])
    code = f"from storage import formats\nfrom pathlib import Path\nformats.read(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "FileRefused: slice 1 of 1" in done.stderr
    assert "Doe_Jane" not in done.stderr.replace(code.splitlines()[2], "")


def test_a_file_whose_header_cannot_be_read_is_not_named(store, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Doe_Jane.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\0\x18\0UI\xff\xff" * 9)
    report = import_path(store, folder, Job("import"))
    assert len(report.refused) == 1 and "Doe" not in report.refused[0]


@pytest.mark.parametrize(
    ("header", "path", "gives_away"),
    [
        ({"PatientName": "Müller^Ann"}, "scans/mueller", True),
        ({"PatientName": "Müller^Ann"}, "scans/MULLER_A", True),
        ({"PatientName": "Li^Wei"}, "scans/li-head", True),
        ({"PatientName": "Li^Wei"}, "scans/lightning", False),
        ({"PatientID": "7"}, "patient7/ct", True),
        ({"PatientID": "7"}, "week77/ct", False),
        ({"PatientBirthDate": "19700314"}, "x/1970-03-14", True),
        ({"StudyDate": "20240229"}, "x/240229", True),
        ({"StudyID": "1"}, "study1", False),
        ({}, "1.2.840.113619.2.55.3.1/img", True),
    ],
)
def test_which_paths_give_a_person_away(header: dict[str, str], path: str, gives_away: bool):
    identities = Identities("salt")
    data = Dataset()
    for keyword, value in header.items():
        setattr(data, keyword, value)
    identities.learn(data)
    assert identities.in_path(path) == gives_away


# real series


def test_a_jpeg_2000_series_reads_as_simpleitk_reads_it(shared_data: Path):
    folder = shared_data / "dicom-samples" / "ct-abdomen" / "dicom"
    scan = one(*sorted(folder.iterdir()))
    reader = sitk.ImageSeriesReader()
    names = sorted(
        (str(p) for p in folder.iterdir()), key=lambda p: -float(pydicom.dcmread(p).ImagePositionPatient[2])
    )
    reader.SetFileNames(names)
    expected = sitk.GetArrayFromImage(reader.Execute())
    assert np.array_equal(scan.pixels, expected)  # both run from the head down
    grid = grid_from_json(scan.geometry)
    assert grid.display_affine is not None
    assert np.allclose((grid.display_affine @ [0, 0, 0, 1])[:3], (249.51171875, 437.51171875, -766.5))


def test_the_mask_of_a_flipped_grid_lands_on_its_series(shared_data: Path):
    folder = shared_data / "dicom-samples" / "ct-abdomen"
    scan = one(*sorted((folder / "dicom").iterdir()))
    labels, own = formats.read_labels(folder / "label_totalsegmentator.nii.gz")
    laid = formats.lay_on(labels, own, grid_from_json(scan.geometry))
    outside = scan.pixels < -900
    assert (laid[outside] > 0).mean() < 0.01 < (laid[:, ::-1][outside] > 0).mean()


def test_several_series_of_one_import_keep_their_sizes(store, shared_data: Path):
    report = import_path(store, shared_data / "dicom-samples" / "hippocrop", Job("import"))
    shapes = sorted(store.image(i).shape for i in report.added)
    assert shapes == [(32, 51, 35), (35, 48, 36), (40, 50, 34)]
    assert {store.image(i).name for i in report.added} == {"study1 MR", "study2 MR", "study3 MR"}


def test_a_scan_can_be_renamed_without_copying_its_pixels(tmp_path: Path):
    scan = one(*save_series(tmp_path))
    assert replace(scan, name="other").pixels is scan.pixels


def test_a_series_that_lies_in_two_folders_with_other_pixels_is_two_and_one_that_is_spread_is_one(
    tmp_path: Path,
):
    """As copies of one study that were made anonymous, filtered or masked: they keep the number of the series."""
    first, second = save_series(tmp_path / "a"), save_series(tmp_path / "b", volume() // 2)
    alone = one(*first), one(*second)
    together = read_all(*first, *second)
    assert len(together) == 2 and all(
        np.array_equal(a.pixels, b.pixels) for a, b in zip(alone, together, strict=True)
    )
    (tmp_path / "c").mkdir()
    spread = [path.rename(tmp_path / "c" / path.name) if n % 2 else path for n, path in enumerate(first)]
    assert one(*spread).shape[0] == SHAPE[0]
