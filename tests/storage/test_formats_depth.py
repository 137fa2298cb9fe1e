"""Bit depth comes from the file, never from a picture's brightest value; 16 bits of grey survive everywhere."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage import formats
from storage.channels.named import picture_of
from storage.formats import FileRefused, dicom
from storage.formats.base import rgb8
from storage.formats.privacy import Identities
from tests.storage.test_formats_dicom import dataset

KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # samples a pixel: PNG's colour type


def png(path: Path, values: np.ndarray, bits: int) -> Path:
    """Grey, grey + alpha, RGB or RGBA, of any number of bits; Pillow writes no deep colour."""
    rows, columns, samples = values.shape
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in values]
    else:
        lines = [
            np.packbits([[int(b) for b in f"{v:0{bits}b}"] for v in row.ravel().tolist()]).tobytes()
            for row in values
        ]
    header = struct.pack(">IIBBBBB", columns, rows, bits, KINDS[samples], 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
        )
    )
    return path


def camera(samples: int) -> np.ndarray:
    """(10, 12, samples) of a 12 bit camera; the last of an even number is alpha."""
    values = np.random.default_rng(2).integers(0, 4096, (10, 12, samples)).astype(np.uint16)
    if samples in (2, 4):
        values[..., -1] = 65535
    return values


@pytest.mark.parametrize("samples", [1, 2])
def test_sixteen_bits_of_grey_survive_with_and_without_alpha(tmp_path: Path, samples: int):
    values = camera(samples)
    scan = formats.read(png(tmp_path / "a.png", values, 16))
    assert scan.pixels.dtype == np.uint16 and scan.remarks == ()
    assert np.array_equal(scan.pixels[0], values[..., 0])
    assert np.array_equal(formats.read_labels(tmp_path / "a.png")[0][0], values[..., 0])
    extra = ["unassalpha"] if samples == 2 else []
    tifffile.imwrite(tmp_path / "a.tif", values.squeeze(), photometric="minisblack", extrasamples=extra)
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels, scan.pixels)


def test_grey_of_one_file_is_grey_of_every_other(tmp_path: Path):
    values = camera(1)
    png(tmp_path / "a.png", values, 16)
    tifffile.imwrite(tmp_path / "a.tif", values[..., 0])
    header = {"RescaleIntercept": None, "RescaleSlope": None, "ImagePositionPatient": [0, 0, 0]}
    dataset(values[..., 0], **header).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for name in ("a.png", "a.tif", "a.dcm"):
        assert np.array_equal(formats.read(tmp_path / name).pixels[0], values[..., 0]), name


@pytest.mark.parametrize("samples", [3, 4])
def test_deep_colours_come_out_alike_from_png_tiff_and_dicom(tmp_path: Path, samples: int):
    values = camera(samples)
    png(tmp_path / "a.png", values, 16)
    extra = ["unassalpha"] if samples == 4 else []
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=extra)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    depth = {"BitsStored": 16, "HighBit": 15, "Rows": 10, "Columns": 12, "ImagePositionPatient": [0, 0, 0]}
    rgb = np.ascontiguousarray(values[..., :3])
    dataset(rgb, **colour, **depth).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for name in ("a.png", "a.tif", "a.dcm"):
        scan = formats.read(tmp_path / name)
        assert np.array_equal(scan.pixels[0], values[..., :3] >> 8), name
        assert [channel.name for channel in scan.named] == ["Red", "Green", "Blue"] and not scan.remarks, name
        for number, channel in enumerate(scan.named):
            assert np.array_equal(channel.values[0], rgb[..., number]), name
        assert np.array_equal(picture_of(scan.named), scan.pixels), name


def test_dicom_colours_of_unlike_depth_have_their_upper_bits_in_common(tmp_path: Path):
    values = camera(3)  # of 12 bits
    header = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    for number, bits in enumerate((12, 16)):
        place = {
            "Rows": 10,
            "Columns": 12,
            "ImagePositionPatient": [0, 0, 5 * number],
            "InstanceNumber": number,
        }
        one = dataset(values << (bits - 12), **header, **place, BitsStored=bits, HighBit=bits - 1)
        one.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    collector = dicom.Collector(Identities(salt=""))
    assert all(collector.add(path) for path in sorted(tmp_path.iterdir()))
    (scan, _), *more = dicom.read_series(collector.series()[0])
    assert not more and not scan.named and "upper 8 are kept" in scan.remarks[-1]
    assert np.array_equal(scan.pixels, np.stack([values >> 4] * 2))


def test_one_bright_speck_does_not_darken_a_picture(tmp_path: Path):
    for top in (900, 12000, 60000):
        values = np.full((20, 30, 3), 800, np.uint16)
        values[0, 0] = top
        tifffile.imwrite(tmp_path / f"{top}.tif", values, photometric="rgb")
        png(tmp_path / f"{top}.png", values, 16)
    assert {int(formats.read(path).pixels[0, 9, 9, 0]) for path in tmp_path.iterdir()} == {800 >> 8}


def test_bits_that_the_file_says_it_uses_count(tmp_path: Path):
    values = camera(3)
    metadata = {"axes": "YXS", "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="rgb", metadata=metadata)
    assert np.array_equal(formats.read(tmp_path / "a.ome.tif").pixels[0], values >> 4)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    header = {"Rows": 10, "Columns": 12, "ImagePositionPatient": [0, 0, 0], **colour}
    dataset(values, **header).save_as(tmp_path / "a.dcm", enforce_file_format=True)  # 12 bits stored
    assert np.array_equal(formats.read(tmp_path / "a.dcm").pixels[0], values >> 4)
    assert np.array_equal(rgb8(values.astype(np.uint32) << 20, 32), values >> 4)
    with pytest.raises(FileRefused, match="its colours are int16"):
        rgb8(values.astype(np.int16))
    with pytest.raises(FileRefused, match="says that it uses 12 bits"):
        rgb8(values << 4, 12)


def test_unused_bits_of_a_dicom_pixel_are_no_values(tmp_path: Path):
    values = camera(1)[..., 0]
    header = {"RescaleIntercept": None, "RescaleSlope": None, "ImagePositionPatient": [0, 0, 0]}
    overlay = values | np.uint16(1 << 15)  # old scanners drew in the bits above those stored
    dataset(overlay, **header).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.array_equal(formats.read(tmp_path / "a.dcm").pixels[0], values)
    dataset(values << 4, **{**header, "HighBit": 15}).save_as(tmp_path / "b.dcm", enforce_file_format=True)
    with pytest.raises(FileRefused, match="not in the lowest bits"):
        formats.read(tmp_path / "b.dcm")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_their_numbers(tmp_path: Path, bits: int):
    values = np.arange(80).reshape(10, 8, 1) % 2**bits
    labels, _ = formats.read_labels(png(tmp_path / "a.png", values, bits))
    assert np.array_equal(labels[0], values[..., 0])
    shown = formats.read(tmp_path / "a.png").pixels[0]
    assert np.array_equal(shown, values[..., 0] * (255 if bits == 1 else 1))


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (65535, 16)])
def test_a_palette_has_the_depth_of_its_own_entries(tmp_path: Path, top: int, bits: int):
    table = np.zeros((3, 256), np.uint16)
    table[:, 1] = (top, top // 2, 3 if bits == 8 else 3 << 8)
    values = np.ones((9, 11), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="palette", colormap=table)
    assert formats.read(tmp_path / "a.tif").pixels[0, 4, 5].tolist() == [255, 127, 3]


def test_an_animation_is_no_picture(tmp_path: Path):
    pages = [Image.fromarray(np.full((9, 11), v, np.uint8)) for v in (1, 2, 3)]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:])
    with pytest.raises(FileRefused, match="animation of 3 pictures"):
        formats.read(tmp_path / "a.png")
