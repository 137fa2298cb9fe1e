"""One TIFF decoder: packing changes nothing, tags say what the values mean, and only the picture's own pages count."""

import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from storage import formats
from storage.formats import FileRefused
from storage.formats.grid import shows_moments
from storage.store import Store

PACKINGS = ("none", "lzw", "zlib", "packbits", "zstd", "lzma")
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def noise(*shape: int, dtype: str = "uint8", top: int = 250) -> np.ndarray:
    return np.random.default_rng(5).integers(0, top, shape).astype(dtype)


def stripes() -> np.ndarray:
    """(20, 30, 3): red, green and blue."""
    return np.repeat(np.repeat(np.array([COLOURS], np.uint8), 10, 1), 20, 0)


def seen(path: Path) -> list[list[int]]:
    """The colours in the middle of the three stripes."""
    return formats.read(path).pixels[0, 10, [5, 15, 25]].tolist()


def write(path: Path, values: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, values, **{"metadata": None, **options})
    return path


# packing


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
def test_packing_and_layout_change_no_value(tmp_path: Path, dtype: str, packing: str):
    values = noise(33, 47, dtype=dtype)
    predictors: tuple[int, ...] = (1,) if packing in ("none", "packbits") else (1, 3 if "f" in dtype else 2)
    for predictor in predictors:
        for layout in ({}, {"tile": (16, 16)}, {"rowsperstrip": 5}, {"bigtiff": True}, {"byteorder": ">"}):
            options = {"compression": packing, "predictor": predictor, **layout}
            scan = formats.read(write(tmp_path / "a.tif", values, photometric="minisblack", **options))
            assert np.array_equal(scan.pixels[0], values), options


@pytest.mark.parametrize("packing", [None, "group3", "group4", "tiff_lzw", "packbits"])
def test_black_and_white_pages_are_read_whatever_the_packing(tmp_path: Path, packing: str | None):
    values = noise(21, 35) > 120
    Image.fromarray(values).save(tmp_path / "a.tif", compression=packing)
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels[0], values * np.uint8(255))
    labels, _ = formats.read_labels(tmp_path / "a.tif")
    assert np.array_equal(labels[0], values)


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "jpeg", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "RGBA"])
def test_colours_stay_what_they_are_in_every_colour_space(tmp_path: Path, mode: str, packing: str | None):
    Image.fromarray(stripes()).convert(mode).save(tmp_path / "a.tif", compression=packing)
    assert np.abs(np.array(seen(tmp_path / "a.tif")) - COLOURS).max() <= 2


@pytest.mark.parametrize("packing", [None, "tiff_lzw"])
def test_lab_becomes_the_colours_it_means(tmp_path: Path, packing: str | None):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(stripes()), transform)
    assert lab is not None
    lab.save(tmp_path / "a.tif", compression=packing)
    assert np.abs(np.array(seen(tmp_path / "a.tif")) - COLOURS).max() < 12


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_planes_may_lie_apart(tmp_path: Path, planar: str):
    values = stripes() if planar == "contig" else np.moveaxis(stripes(), -1, 0)
    path = write(tmp_path / "a.tif", np.ascontiguousarray(values), photometric="rgb", planarconfig=planar)
    assert seen(path) == [list(c) for c in COLOURS]


def test_colour_that_was_multiplied_by_alpha_is_divided_again(tmp_path: Path):
    values = np.full((9, 11, 4), (100, 50, 25, 128), np.uint8)
    write(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    write(tmp_path / "b.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    assert formats.read(tmp_path / "a.tif").pixels[0, 4, 5].tolist() == [199, 100, 50]
    assert formats.read(tmp_path / "b.tif").pixels[0, 4, 5].tolist() == [100, 50, 25]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16"])
def test_where_zero_is_white_values_are_mirrored_within_their_bits(tmp_path: Path, dtype: str):
    values = noise(9, 11, dtype="uint8", top=2 if dtype == "bool" else 250).astype(dtype)
    path = write(tmp_path / "a.tif", values, photometric="miniswhite")
    expected = {
        "bool": 255 * (1 - values.astype(int)),
        "uint8": 255 - values.astype(int),
        "uint16": 65535 - values.astype(int),
        "int16": -1 - values.astype(int),
    }[dtype]
    assert np.array_equal(formats.read(path).pixels[0], expected)
    with pytest.raises(FileRefused, match="0 is white"):
        formats.read_labels(path)
    with pytest.raises(FileRefused, match="0 is white"):
        formats.read(write(tmp_path / "b.tif", noise(9, 11, dtype="float32"), photometric="miniswhite"))


def packed_bits(path: Path, values: np.ndarray, bits: int) -> Path:
    """A grey TIFF of samples that fill no whole bytes; tifffile writes none."""
    rows, columns = values.shape
    strip = b"".join(
        int("".join(f"{v:0{bits}b}" for v in row).ljust(-(-columns * bits // 8) * 8, "0"), 2).to_bytes(
            -(-columns * bits // 8), "big"
        )
        for row in values.tolist()
    )
    tags = [(256, columns), (257, rows), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, rows)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, len(strip))])
    start = 8 + len(strip) + len(strip) % 2
    content = struct.pack("<2sHI", b"II", 42, start) + strip + bytes(len(strip) % 2)
    path.write_bytes(content + struct.pack("<H", len(tags) + 1) + entries + bytes(4))
    return path


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_samples_that_fill_no_bytes_keep_their_values(tmp_path: Path, bits: int):
    values = noise(9, 11, dtype="uint16", top=2**bits)
    path = packed_bits(tmp_path / "a.tif", values, bits)
    assert np.array_equal(formats.read(path).pixels[0], values)
    assert np.array_equal(formats.read_labels(path)[0][0], values)


# what is no picture of one grey value or colour


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((20, 30, 8), {"photometric": "minisblack", "planarconfig": "contig"}),
        ((8, 20, 30), {"photometric": "minisblack", "planarconfig": "separate"}),
        ((20, 30, 2), {"photometric": "minisblack", "planarconfig": "contig"}),
        ((20, 30, 5), {"photometric": "rgb", "extrasamples": ["unspecified"] * 2}),
    ],
)
def test_bands_are_channels_and_neither_colours_nor_slices(
    tmp_path: Path, shape: tuple[int, ...], options: dict
):
    values = noise(*shape, dtype="uint16")
    path = write(tmp_path / "a.tif", values, **options)
    scan, axis = formats.read(path), shape.index(min(shape))
    assert scan.shape == (1, 20, 30) and len(scan.named) == min(shape)
    for number, channel in enumerate(scan.named):
        assert np.array_equal(channel.values[0], values.take(number, axis))
    assert f"its {min(shape)} channels are one image" in formats.look(path).remarks[0] == scan.remarks[0]
    with pytest.raises(FileRefused, match=f"it has {min(shape)} bands a pixel"):
        formats.read_labels(path)


def test_a_fourth_band_is_a_channel_beside_the_colours(tmp_path: Path):
    values = noise(20, 30, 4)
    path = write(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unspecified"])
    scan = formats.read(path)
    assert [channel.name for channel in scan.named] == ["Red", "Green", "Blue", "Band 4"]
    assert np.array_equal(scan.pixels[0], values[..., :3])  # the picture is as it was
    assert np.array_equal(scan.named[3].values[0], values[..., 3])
    rgba = write(tmp_path / "b.tif", noise(20, 30, 4), photometric="rgb", extrasamples=["unassalpha"])
    assert formats.read(rgba).remarks == () and formats.read(rgba).named == ()


@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "CZYX", "TCYX"])
@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped"])
def test_channels_are_no_slices(tmp_path: Path, kind: str, axes: str):
    sizes = {"C": 7, "Z": 5, "T": 5, "Y": 20, "X": 30}
    values = noise(*(sizes[a] for a in axes), dtype="uint16")
    flags: dict[str, Any] = {} if kind == "shaped" else {kind: True}
    if (kind, axes) == ("imagej", "CZYX"):  # ImageJ has one order
        return
    write(tmp_path / "a.ome.tif", values, metadata={"axes": axes}, photometric="minisblack", **flags)
    if "T" in axes:
        with pytest.raises(FileRefused, match="more than three dimensions"):
            formats.read(tmp_path / "a.ome.tif")
        return
    scan, at = formats.read(tmp_path / "a.ome.tif"), axes.index("C")
    assert [channel.name for channel in scan.named] == [f"Channel {n}" for n in range(1, 8)]
    for number, channel in enumerate(scan.named):
        assert np.array_equal(channel.values, values.take(number, at).reshape(-1, 20, 30))
    assert formats.look(tmp_path / "a.ome.tif").grid.display_shape == scan.shape
    with pytest.raises(FileRefused, match="it has 7 channels and a mask has one"):
        formats.read_labels(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(("tag", "value"), [(262, 32803), (262, 10), (259, 6), (259, 34661)])
def test_colours_and_packings_that_nothing_here_knows_are_named(tmp_path: Path, tag: int, value: int):
    path = write(tmp_path / "a.tif", noise(20, 30), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[tag].overwrite(value)  # type: ignore[union-attr]
    with pytest.raises(FileRefused, match="kind (CFA|ITULAB)|bands where|compression \\((OJPEG|JBIG)\\)"):
        formats.read(path)


# orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_every_orientation_is_shown_upright_whatever_the_packing(
    tmp_path: Path, orientation: int, shape: tuple[int, ...]
):
    values = noise(*shape)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    for packing in PACKINGS:
        tag = [(274, "H", 1, orientation, True)]
        write(tmp_path / f"{packing}.tif", values, compression=packing, extratags=tag)
    expected = {
        1: values, 2: values[:, ::-1], 3: values[::-1, ::-1], 4: values[::-1], 5: values.swapaxes(0, 1),
        6: np.rot90(values, -1), 7: np.rot90(values, 2).swapaxes(0, 1), 8: np.rot90(values),
    }[orientation]  # fmt: skip
    for path in tmp_path.iterdir():
        assert np.array_equal(formats.read(path).pixels[0], expected), path.name
        if len(shape) == 2:
            assert np.array_equal(formats.read_labels(path)[0][0], expected), path.name


def test_a_turned_page_brings_its_spacing_along(tmp_path: Path):
    tag = [(274, "H", 1, 6, True)]
    write(tmp_path / "a.tif", noise(4, 6), resolution=(20, 10), resolutionunit=3, extratags=tag)
    assert formats.read(tmp_path / "a.tif").spacing_mm == pytest.approx((1, 0.5, 1))  # rows were 1 mm apart


# which pages count


@pytest.mark.parametrize("packing", ["tiff_lzw", "jpeg", "tiff_adobe_deflate"])
def test_overviews_are_no_pages_whatever_the_packing(tmp_path: Path, packing: str):
    values = np.repeat(np.repeat(noise(16, 16, 3), 8, 0), 8, 1)
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
        for number in range(3):
            page = Image.fromarray(np.ascontiguousarray(values[:: 2**number, :: 2**number]))
            page.encoderinfo = {}
            info = TiffImagePlugin.ImageFileDirectory_v2()
            if number:
                info[254] = 1
            page.save(file, format="TIFF", compression=packing, tiffinfo=info)
            file.newFrame()
    assert formats.read(tmp_path / "a.tif").shape == (1, 128, 128)


@pytest.mark.parametrize("tag", [(254, 1), (254, 4), (254, 5), (254, 9), (255, 2)])
def test_a_thumbnail_or_mask_of_the_same_size_is_no_slice(tmp_path: Path, tag: tuple[int, int]):
    pages = noise(3, 20, 30)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number, page in enumerate(pages):
            extra = [(tag[0], "I" if tag[0] == 254 else "H", 1, tag[1], True)] if number == 1 else []
            file.write(page, metadata=None, extratags=extra, photometric="minisblack")
    for reader in (lambda path: formats.read(path).pixels, lambda path: formats.read_labels(path)[0]):
        assert np.array_equal(reader(tmp_path / "a.tif"), pages[[0, 2]])


def test_pages_packed_in_different_ways_are_one_stack(tmp_path: Path):
    pages = noise(4, 20, 30)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page, packing in zip(pages, ("none", "lzw", "zlib", "packbits"), strict=True):
            file.write(page, metadata=None, compression=packing, photometric="minisblack")
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels, pages)


def multi_file_ome(folder: Path, *, uuids: bool = True) -> list[Path]:
    """One image of three slices in three files that name each other."""
    ids = [f"urn:uuid:{uuid.UUID(int=k + 1)}" for k in range(3)]
    planes = "".join(
        f'<TiffData FirstZ="{k}" IFD="0" PlaneCount="1"><UUID FileName="s{k}.ome.tif">{ids[k]}</UUID></TiffData>'
        for k in range(3)
    )
    paths = []
    for k in range(3):
        own = f' UUID="{ids[k]}"' if uuids else ""
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{own}><Image ID="Image:0"><Pixels '
            'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" SizeZ="3" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        path = folder / f"s{k}.ome.tif"
        paths.append(write(path, np.full((20, 30), 50 * (k + 1), np.uint8), description=xml.encode()))
    return paths


@pytest.mark.parametrize("uuids", [True, False])
def test_an_image_in_several_files_comes_in_once(tmp_path: Path, store: Store, uuids: bool):
    multi_file_ome(tmp_path, uuids=uuids)
    report = import_path(store, tmp_path, Job("import", lambda job: None))
    (image_id,) = report.added
    assert store.pixels(image_id)[:, 3, 4].tolist() == [50, 100, 150]
    with pytest.raises(FileRefused, match=r"part of the image in s0\.ome\.tif"):
        formats.read(tmp_path / "s1.ome.tif")


def test_an_image_of_which_a_file_is_missing_or_elsewhere_is_refused(tmp_path: Path):
    first, second, _ = multi_file_ome(tmp_path)
    second.unlink()
    with pytest.raises(FileRefused, match=r"s1\.ome\.tif is not beside it"):
        formats.read(first)
    first.write_bytes(first.read_bytes().replace(b"s1.ome.tif", b"../../a.tf"))
    with pytest.raises(FileRefused, match="files elsewhere"):
        formats.read(first)


@pytest.mark.parametrize("described", ["s.companion.ome", "gone.ome.tif", "../s.ome.tif"])
def test_pages_that_only_another_file_explains_are_refused(tmp_path: Path, described: str):
    xml = f'<OME><BinaryOnly MetadataFile="{described}" UUID="urn:uuid:1"/></OME>'
    (tmp_path / "s.companion.ome").write_text("<OME/>")
    path = write(tmp_path / "a.ome.tif", noise(20, 30), description=xml.encode())
    with pytest.raises(FileRefused, match="said in another file") as refusal:
        formats.read(path)
    assert type(refusal.value) is FileRefused


def test_a_tiff_under_another_pictures_name_is_read_by_the_same_rules(tmp_path: Path):
    tag = [(274, "H", 1, 6, True)]
    write(tmp_path / "a.tif", noise(4, 6, dtype="uint16"), extratags=tag)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.tif").read_bytes())
    assert np.array_equal(formats.read(tmp_path / "a.png").pixels, formats.read(tmp_path / "a.tif").pixels)


@pytest.mark.parametrize(("kind", "axes"), [("imagej", "TYX"), ("ome", "TYX")])
def test_moments_in_time_are_told(tmp_path: Path, kind: str, axes: str):
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    write(path, noise(6, 8, 9, dtype="uint16"), metadata={"axes": axes}, **{kind: True})
    scan = formats.read(path)
    assert "moments in time" in scan.remarks[0] == formats.look(path).remarks[0]
    assert shows_moments(scan.geometry)


def test_pages_that_were_written_one_by_one_are_one_stack(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(noise(16, 16), photometric="minisblack", subfiletype=1)  # a thumbnail in front
        for value in (7, 8):
            file.write(np.full((64, 64), value, np.uint8), photometric="minisblack")
    assert formats.read(tmp_path / "a.tif").pixels[:, 0, 0].tolist() == [7, 8]
