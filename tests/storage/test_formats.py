"""Readers: values, orientation and spacing survive; what cannot be read is refused in a sentence."""

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from storage import formats
from storage.formats import FileRefused, grid_from_json, grid_of, lay_on, nifti
from storage.formats.base import check_size, rescale, to_pixel_type
from storage.scan import Scan

SHAPE = (7, 9, 11)  # (i, j, k)


def volume(dtype: str = "int16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 120, shape).astype(dtype)


def save_nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None, **header) -> Path:
    image = nib.Nifti1Image(values, np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def in_world(scan: Scan, index_zyx: tuple[int, int, int]) -> np.ndarray:
    affine = grid_from_json(scan.geometry).display_affine
    assert affine is not None
    return (affine @ [*index_zyx, 1])[:3]


# pictures


@pytest.mark.parametrize(
    ("dtype", "suffix"), [("uint8", ".png"), ("uint16", ".png"), ("uint8", ".bmp"), ("uint8", ".tif")]
)
def test_a_grey_picture_keeps_every_value(tmp_path: Path, dtype: str, suffix: str):
    values = volume(dtype, (13, 17)) * (200 if dtype == "uint16" else 1)
    Image.fromarray(values.astype(dtype)).save(tmp_path / f"a{suffix}")
    scan = formats.read(tmp_path / f"a{suffix}")
    assert scan.pixels.dtype == dtype
    assert np.array_equal(scan.pixels[0], values)
    assert scan.spacing_mm is None and scan.marks is None


def test_alpha_is_dropped_and_a_palette_becomes_its_colours(tmp_path: Path):
    rgba = volume("uint8", (13, 17, 4))
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert np.array_equal(formats.read(tmp_path / "rgba.png").pixels[0], rgba[..., :3])
    indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    indexed.save(tmp_path / "palette.png")
    assert formats.read(tmp_path / "palette.png").pixels[0, 0].tolist() == [
        [0, 0, 0],
        [255, 0, 0],
        [0, 255, 0],
    ]
    labels, _ = formats.read_labels(tmp_path / "palette.png")
    assert labels[0, 0].tolist() == [0, 1, 2]


def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path):
    picture = Image.fromarray(volume("uint8", (13, 17, 3)))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was held upright
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert formats.read(tmp_path / "turned.jpg").pixels.shape == (1, 17, 13, 3)


# TIFF


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_compressed_stack_of_pages_is_a_volume(tmp_path: Path, dtype: str, compression: str):
    values = volume(dtype, (5, 13, 17))
    pages = [Image.fromarray(page) for page in values]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression=compression)
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels, values)


def test_an_imagej_stack_brings_its_spacing(tmp_path: Path):
    metadata = {"axes": "ZYX", "spacing": 3.0, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "a.tif", volume("uint16", (5, 13, 17)), imagej=True, resolution=(2, 4), metadata=metadata
    )
    assert formats.read(tmp_path / "a.tif").spacing_mm == pytest.approx((0.003, 0.00025, 0.0005))


def test_resolution_tags_say_the_spacing_unless_they_are_a_programs_default(tmp_path: Path):
    page = Image.fromarray(volume("uint8", (13, 17)))
    page.save(tmp_path / "cm.tif", resolution_unit=3, x_resolution=20.0, y_resolution=10.0)
    page.save(tmp_path / "dpi.tif", dpi=(72, 72))
    assert formats.read(tmp_path / "cm.tif").spacing_mm == pytest.approx((1, 1, 0.5))
    assert formats.read(tmp_path / "dpi.tif").spacing_mm is None


def test_colour_pages_and_deep_colour_become_eight_bit_rgb(tmp_path: Path):
    values = volume("uint8", (5, 13, 17, 3))
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels, values)
    deep = (values[0].astype(np.uint16) << 8) + 40000 % 256
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="rgb")
    shift = 0 if deep.max() < 256 else int(deep.max()).bit_length() + int(deep.max()).bit_length() % 2 - 8
    assert np.array_equal(formats.read(tmp_path / "b.tif").pixels[0], deep >> shift)


@pytest.mark.parametrize("axes", ["TZYX", "TCYX"])
def test_more_than_three_dimensions_in_a_tiff_are_refused(tmp_path: Path, axes: str):
    values = volume("uint16", (2, 4, 13, 17))
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": axes})
    with pytest.raises(FileRefused, match="more than three dimensions"):
        formats.read(tmp_path / "a.tif")


def test_pages_of_several_sizes_are_refused(tmp_path: Path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(volume("uint8", (13, 17)))
        tiff.write(volume("uint8", (11, 9)))
    with pytest.raises(FileRefused, match="differ in size"):
        formats.read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "kind", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "imagej", "tiles", "bigtiff"]
)
@given(share=st.floats(0.05, 0.99))
@settings(max_examples=15, deadline=None)
def test_a_stack_that_was_cut_short_never_loses_pages_silently(tmp_path_factory, kind: str, share: float):
    path = tmp_path_factory.mktemp("cut") / "a.tif"
    values = volume("uint8", (5, 40, 50))
    pages = [Image.fromarray(page) for page in values]
    options: dict[str, dict[str, Any]] = {
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "tiles": {"tile": (16, 16)},
        "bigtiff": {"bigtiff": True},
    }
    if kind in options:
        tifffile.imwrite(path, values, **options[kind])
    else:
        pages[0].save(path, save_all=True, append_images=pages[1:], compression=kind)
    assert np.array_equal(formats.read(path).pixels, values)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    try:
        pixels = formats.read(path).pixels
    except FileRefused:
        return
    assert np.array_equal(pixels, values)  # only what follows the last pixel was lost


# NIfTI


def orientations() -> st.SearchStrategy[np.ndarray]:
    """Affines: any order and direction of axes, any spacing, tilted by up to 20 degrees."""
    signs = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)
    spacing = st.tuples(*[st.floats(0.3, 6)] * 3)
    angles = st.tuples(*[st.floats(-20, 20)] * 3)
    origin = st.tuples(*[st.floats(-200, 200)] * 3)
    return st.builds(_affine, st.permutations([0, 1, 2]), signs, spacing, angles, origin)


def _affine(order, signs, spacing, angles, origin) -> np.ndarray:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*np.radians(angles))
    affine = np.eye(4)
    axes = np.eye(3)[:, order] * signs
    affine[:3, :3] = np.array(turn.GetMatrix()).reshape(3, 3) @ axes * spacing
    affine[:3, 3] = origin
    return affine


@settings(max_examples=60, deadline=None)
@given(affine=orientations(), voxel=st.tuples(*[st.integers(0, n - 1) for n in SHAPE]))
def test_any_orientation_is_shown_head_up_and_comes_back_at_the_same_place(tmp_path_factory, affine, voxel):
    folder = tmp_path_factory.mktemp("affine")
    values = np.zeros(SHAPE, np.uint8)
    values[voxel] = 1
    scan = formats.read(save_nifti(folder / "a.nii", values, affine))
    index = tuple(int(n) for n in np.argwhere(scan.pixels)[0])
    assert np.allclose(in_world(scan, index), (affine @ [*voxel, 1])[:3], atol=1e-3)
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
    step = [in_world(scan, tuple(np.eye(3, dtype=int)[d])) - in_world(scan, (0, 0, 0)) for d in range(3)]
    assert (
        step[0][2] < 0 and step[1][1] < 0 and step[2][0] < 0
    )  # to the feet, the back and the patient's left
    nifti.write_labels(folder / "b.nii.gz", scan.pixels, grid_from_json(scan.geometry))
    again = nib.Nifti1Image.from_filename(folder / "b.nii.gz")
    assert np.array_equal(np.asarray(again.dataobj), values)
    assert np.array_equal(again.affine, nib.Nifti1Image.from_filename(folder / "a.nii").affine)


@pytest.mark.parametrize(
    ("thin", "marks"),
    [
        (2, (("S", "I"), ("A", "P"), ("R", "L"))),
        (1, (("A", "P"), ("S", "I"), ("R", "L"))),
        (0, (("R", "L"), ("S", "I"), ("A", "P"))),
    ],
)
def test_a_single_slice_lies_in_the_page_whatever_plane_it_shows(tmp_path: Path, thin: int, marks):
    shape = tuple(1 if axis == thin else n for axis, n in enumerate(SHAPE))
    scan = formats.read(save_nifti(tmp_path / "a.nii", volume(shape=shape)))
    assert scan.pixels.shape[0] == 1
    assert scan.marks == marks


def test_scaling_stays_in_integers_where_it_is_exact(tmp_path: Path):
    stored = volume("int16")
    for slope, inter, dtype in ((1, -1024, "int16"), (2, 0, "int16"), (0.5, 0, "float32")):
        image = nib.Nifti1Image(stored, np.eye(4))
        image.header.set_slope_inter(slope, inter)
        (tmp_path / "a.nii").write_bytes(_with_scaling(image, slope, inter))
        scan = formats.read(tmp_path / "a.nii")
        assert scan.pixels.dtype == dtype
        shown = grid_from_json(scan.geometry).to_source(scan.pixels)
        assert np.allclose(shown, stored * slope + inter)


def _with_scaling(image: nib.Nifti1Image, slope: float, inter: float) -> bytes:
    content = bytearray(image.to_bytes())
    content[112:120] = struct.pack("<ff", slope, inter)
    return bytes(content)


@pytest.mark.parametrize("dtype", [">i2", ">f4", "<u4", "<f8", "<i8", "|i1"])
def test_every_number_type_and_byte_order_reads_the_same(tmp_path: Path, dtype: str):
    values = volume("int64").astype(dtype)
    header = nib.Nifti1Header(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(values, np.eye(4), header), tmp_path / "a.nii.gz")
    scan = formats.read(tmp_path / "a.nii.gz")
    assert scan.pixels.dtype.isnative
    assert np.array_equal(grid_from_json(scan.geometry).to_source(scan.pixels), values)


def test_header_fields_come_back_bit_for_bit(tmp_path: Path):
    affine = np.array([[0, 0.7, 0.1, 3.3], [-1.1, 0, 0, 7.7], [0, -0.1, 2.2, 1.1], [0, 0, 0, 1]])
    image = nib.Nifti1Image(volume(), affine)
    image.set_sform(affine, code=4)
    image.set_qform(np.diag([0.7, 1.1, 2.2, 1]), code=1)
    image.header["xyzt_units"] = 10
    nib.save(image, tmp_path / "a.nii")
    scan = formats.read(tmp_path / "a.nii")
    nifti.write_labels(tmp_path / "b.nii.gz", scan.pixels, grid_from_json(scan.geometry))
    first, second = (
        nib.Nifti1Image.from_filename(tmp_path / "a.nii").header,
        nib.Nifti1Image.from_filename(tmp_path / "b.nii.gz").header,
    )
    names = "qform_code sform_code quatern_b quatern_c quatern_d qoffset_x qoffset_y qoffset_z srow_x srow_y srow_z"
    for name in (*names.split(), "xyzt_units", "pixdim"):
        assert np.array_equal(first[name], second[name]), name


def test_units_other_than_millimetres_are_converted_for_display_only(tmp_path: Path):
    scan = formats.read(save_nifti(tmp_path / "a.nii", volume(), np.diag([5.0, 5, 20, 1]), xyzt_units=3))
    assert scan.spacing_mm == pytest.approx((0.02, 0.005, 0.005))


def test_a_file_that_says_no_orientation_gets_no_marks(tmp_path: Path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(SHAPE)
    header.set_zooms((1, 2, 3))
    nib.save(nib.Nifti1Image(volume(), None, header), tmp_path / "a.nii")
    scan = formats.read(tmp_path / "a.nii")
    assert scan.marks is None
    assert scan.spacing_mm == (3.0, 2.0, 1.0)
    assert np.array_equal(scan.pixels, volume().transpose(2, 1, 0))


def test_four_dimensions_are_refused_but_a_single_fourth_is_none(tmp_path: Path):
    four = volume(shape=(*SHAPE, 3))
    with pytest.raises(FileRefused, match="4-D"):
        formats.read(save_nifti(tmp_path / "a.nii", four))
    assert np.array_equal(
        nifti.read_volume(tmp_path / "a.nii", 1).pixels,
        formats.read(save_nifti(tmp_path / "b.nii", four[..., 1:2])).pixels,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, bad: float):
    values = volume("float32")
    values[3, 4, 5] = bad
    with pytest.raises(FileRefused, match="1 of its voxels are NaN or infinite"):
        formats.read(save_nifti(tmp_path / "a.nii", values))


def test_a_header_that_declares_more_than_the_file_holds_is_refused_before_decoding(tmp_path: Path):
    content = bytearray(nib.Nifti1Image(volume(), np.eye(4)).to_bytes())
    content[42:48] = struct.pack("<hhh", 500, 400, 300)
    (tmp_path / "a.nii").write_bytes(content)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(content)))
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(FileRefused, match="declares more pixels than it holds"):
            formats.read(tmp_path / name)


# NRRD and MetaImage


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_oblique_volume_lies_at_the_same_place_in_every_format(
    tmp_path: Path, suffix: str, packed: bool
):
    image = sitk.GetImageFromArray(volume("int16").transpose(2, 1, 0))
    image.SetSpacing((0.7, 1.5, 2.5))
    image.SetOrigin((-20, 30, 5))
    image.SetDirection((0, 0.6, -0.8, 1, 0, 0, 0, -0.8, -0.6))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), packed)
    scan = formats.read(path)
    index = (3, 4, 2)
    source = grid_from_json(scan.geometry).to_source(np.arange(scan.pixels.size).reshape(scan.shape))
    i, j, k = np.argwhere(source == np.ravel_multi_index(index, scan.shape))[0]
    x, y, z = image.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))
    assert np.allclose(in_world(scan, index), (-x, -y, z), atol=1e-4)
    assert scan.pixels[index] == image[int(i), int(j), int(k)]
    assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))


def test_an_nrrd_without_a_patient_space_gets_spacing_but_no_marks(tmp_path: Path):
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 7 9 11\nspacings: 1 2 3\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(header + volume("uint8").tobytes(order="F"))
    scan = formats.read(tmp_path / "a.nrrd")
    assert scan.marks is None and scan.spacing_mm == (3.0, 2.0, 1.0)
    assert np.array_equal(scan.pixels, volume("uint8").transpose(2, 1, 0))


@pytest.mark.parametrize(
    "target", ["../secret.raw", "/etc/hostname", "a/b.raw", "%03d.raw 1 3 1", "LIST", "gone.raw"]
)
def test_a_header_cannot_point_at_files_elsewhere(tmp_path: Path, target: str):
    (tmp_path / "secret.raw").write_bytes(bytes(700))
    (tmp_path / "in").mkdir()
    header = f"ObjectType = Image\nNDims = 3\nDimSize = 7 9 11\nElementType = MET_UCHAR\nElementDataFile = {target}\n"
    (tmp_path / "in" / "a.mhd").write_text(header)
    with pytest.raises(FileRefused, match="elsewhere|not beside it"):
        formats.read(tmp_path / "in" / "a.mhd")
    detached = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 7 9 11\nencoding: raw\ndata file: {target}\n\n"
    (tmp_path / "in" / "a.nhdr").write_text(detached)
    with pytest.raises(FileRefused, match="elsewhere|not beside it"):
        formats.read(tmp_path / "in" / "a.nhdr")


def test_a_header_with_its_pixels_beside_it_is_read(tmp_path: Path):
    sitk.WriteImage(sitk.GetImageFromArray(volume("uint8").transpose(2, 1, 0)), str(tmp_path / "a.mhd"))
    assert np.array_equal(
        grid_from_json(formats.read(tmp_path / "a.mhd").geometry).to_source(
            formats.read(tmp_path / "a.mhd").pixels
        ),
        volume("uint8"),
    )


# refusals


@pytest.mark.parametrize("suffix", [s for r in formats.READERS.values() for s in r.suffixes])
def test_text_under_an_images_name_and_empty_files_are_refused(tmp_path: Path, suffix: str):
    (tmp_path / f"text{suffix}").write_text("this is no image, whatever its name says\n" * 50)
    (tmp_path / f"empty{suffix}").touch()
    for name in ("text", "empty"):
        with pytest.raises(
            FileRefused, match="cannot be read as|empty|damaged|no picture|not beside|elsewhere"
        ):
            formats.read(tmp_path / f"{name}{suffix}")


def test_absurd_sizes_are_refused():
    with pytest.raises(FileRefused, match="no pixels"):
        check_size((5, 0, 7))
    with pytest.raises(FileRefused, match="voxels"):
        check_size((3000, 3000, 3000), 1)
    with pytest.raises(FileRefused, match="megapixels"):
        check_size((20000, 20000), 1)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        import zlib

        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    import zlib

    size = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(30001) * 100)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    with pytest.raises(FileRefused, match="megapixels"):
        formats.read(tmp_path / "a.png")


# labels and grids


def test_a_mask_with_turned_axes_is_laid_on_its_image_by_the_world(tmp_path: Path):
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    image = formats.read(save_nifti(tmp_path / "image.nii", volume(), affine))
    mask = (volume() > 60).astype(np.uint8)
    turned = nib.as_closest_canonical(nib.Nifti1Image(mask, affine)).as_reoriented([[2, -1], [0, 1], [1, -1]])
    nib.save(turned, tmp_path / "mask.nii")
    values, own = formats.read_labels(tmp_path / "mask.nii")
    laid = lay_on(values, own, grid_from_json(image.geometry))
    assert np.array_equal(laid, image.pixels > 60)


def test_a_mask_on_another_grid_is_refused(tmp_path: Path):
    image = grid_from_json(formats.read(save_nifti(tmp_path / "image.nii", volume())).geometry)
    shifted = np.diag([1.0, 2.0, 3.0, 1.0])
    shifted[0, 3] = 0.5
    for values, affine in ((volume("uint8"), shifted), (volume("uint8", (7, 9, 12)), None)):
        labels, own = formats.read_labels(save_nifti(tmp_path / "mask.nii", values, affine))
        with pytest.raises(FileRefused, match="resample the mask"):
            lay_on(labels, own, image)


@pytest.mark.parametrize("bad", [-1.0, 0.5, 2.0**33])
def test_values_that_are_no_label_numbers_are_refused(tmp_path: Path, bad: float):
    values = np.zeros(SHAPE, np.float32)
    values[1, 2, 3] = bad
    with pytest.raises(FileRefused, match="label numbers"):
        formats.read_labels(save_nifti(tmp_path / "a.nii", values))


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    affine=orientations(),
    oriented=st.booleans(),
)
def test_to_source_undoes_to_display(shape, affine, oriented):
    grid = grid_of("made", shape, affine, oriented=oriented)
    values = np.arange(np.prod(shape)).reshape(shape)
    display = grid.to_display(values)
    assert display.flags.c_contiguous and display.shape == grid.display_shape
    assert np.array_equal(grid.to_source(display), values)
    axis, index = grid.file_slice(1, display.shape[1] - 1)
    assert set(np.take(values, index, axis).ravel()) == set(display[:, -1].ravel())


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=8),
    slope=st.sampled_from([1, -1, 2, 7, 1000, 0.25]),
    intercept=st.integers(-(2**16), 2**16),
)
def test_rescaling_never_wraps_around(values, slope, intercept):
    stored = np.array(values, np.int16).reshape(1, 1, -1)
    expected = stored.astype(np.float64) * slope + intercept
    assert np.allclose(rescale(stored, slope, intercept), expected, rtol=1e-6)


def test_pixel_types_are_narrow_and_native():
    assert to_pixel_type(np.array([[[True]]])).dtype == np.uint8
    assert to_pixel_type(np.array([[[70000]]], np.int64)).dtype == np.int32
    assert to_pixel_type(np.array([[[2**40]]], np.int64)).dtype == np.float32
    with pytest.raises(FileRefused, match="complex"):
        to_pixel_type(np.zeros((1, 1, 1), complex))
    with pytest.raises(FileRefused, match="larger than"):
        to_pixel_type(np.array([[[1e300]]]))


# real files


def test_real_scans_of_odd_orientations_are_shown_head_up(shared_data: Path):
    for path in (
        shared_data / "brain-aseg/images/brain_001.nii.gz",
        *(shared_data / "spinal-cord/images").iterdir(),
    ):
        scan = formats.read(path)
        image = nib.Nifti1Image.from_filename(path)
        canonical = np.asarray(nib.as_closest_canonical(image).dataobj)[::-1, ::-1, ::-1].transpose(2, 1, 0)
        assert scan.marks == (("S", "I"), ("A", "P"), ("R", "L"))
        assert np.array_equal(scan.pixels, canonical)


def test_real_masks_come_back_bit_for_bit(shared_data: Path, tmp_path: Path):
    for name in ("brain-aseg/labels/brain_001.nii.gz", "spinal-cord/labels/t2_iso.nii.gz"):
        labels, grid = formats.read_labels(shared_data / name)
        nifti.write_labels(tmp_path / "a.nii.gz", labels, grid)
        first, second = (
            nib.Nifti1Image.from_filename(shared_data / name),
            nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz"),
        )
        assert np.array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
        assert np.array_equal(first.affine, second.affine)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\ud800"),
        ("pixels", np.zeros((2, 3))),
        ("pixels", np.zeros((0, 3, 4), np.uint8)),
        ("spacing_mm", (1.0, 0.0, 1.0)),
        ("window", (5.0, 5.0)),
        ("geometry", {"affine": float("nan")}),
    ],
)
def test_a_scan_checks_itself(field: str, value):
    good = {"name": "a", "pixels": np.zeros((2, 3, 4), np.uint8), "spacing_mm": None, "marks": None}
    with pytest.raises(ValueError):
        Scan(**{**good, field: value})
