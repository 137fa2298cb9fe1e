"""Boxes of scenes hold what zarr and tifffile wrote; what is damaged costs its own piece and a line."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile

from storage.formats import FileRefused
from storage.scenes.files import can_be_scene, is_scene, open_scene
from storage.scenes.pyramid import LARGEST_PIECE, Level
from tests.support.scenes import picture, write_sparse_tiff, write_zarr

BOX = (slice(0, 1), slice(190, 300), slice(60, 290))
COLOURS = [{"label": name, "color": "FFFFFF"} for name in ("Red", "Green", "Blue")]


@pytest.fixture
def colours() -> np.ndarray:
    return picture(400, 300)


@pytest.mark.parametrize("version", [2, 3])
def test_a_box_of_an_ome_zarr_holds_what_was_written(
    tmp_path: Path, colours: np.ndarray, version: Literal[2, 3]
):
    path = write_zarr(
        tmp_path / "a.zarr", np.moveaxis(colours, 2, 0), "cyx", version=version, levels=3, omero=COLOURS
    )
    assert is_scene(path)
    with open_scene(path) as pyramid:
        assert pyramid.colour and pyramid.full.shape == (1, 400, 300)
        assert [level.shape[1] for level in pyramid.levels] == [400, 200, 100]
        assert pyramid.spacing_mm == pytest.approx((0.0005, 0.0005, 0.0005))
        part = pyramid.full.read(BOX)
    assert not part.lost
    np.testing.assert_array_equal(part.values[:, 0], np.moveaxis(colours[190:300, 60:290], 2, 0))


def test_channels_keep_their_names_colours_and_windows(tmp_path: Path):
    values = np.arange(2 * 4 * 30 * 50, dtype=np.uint16).reshape(2, 4, 30, 50)
    said = [
        {"label": "DNA", "color": "0000FF", "window": {"start": 10, "end": 900}},
        {"label": "actin", "color": "00FF00", "window": {"start": 0, "end": 65535}},
    ]
    path = write_zarr(tmp_path / "cells.zarr", values[None], "tczyx", omero=said)
    with open_scene(path) as pyramid:
        assert pyramid.facts and pyramid.facts.names == ("DNA", "actin")
        assert pyramid.facts.colors == ("#0000ff", "#00ff00") and pyramid.facts.windows[0] == (10, 900)
        part = pyramid.full.read((slice(1, 3), slice(5, 25), slice(0, 50)))
    np.testing.assert_array_equal(part.values, values[:, 1:3, 5:25])


@pytest.mark.parametrize(
    "how", [{"tile": (128, 128)}, {"tile": (128, 128), "compression": "zlib"}, {"rowsperstrip": 400}]
)
def test_a_box_of_a_tiff_holds_what_was_written(tmp_path: Path, colours: np.ndarray, how: dict):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, colours, photometric="rgb", **how)
    assert can_be_scene(path) and not is_scene(path)  # small enough to be an ordinary image
    with open_scene(path) as pyramid:
        part = pyramid.full.read(BOX)
    assert pyramid.colour
    np.testing.assert_array_equal(part.values[:, 0], np.moveaxis(colours[190:300, 60:290], 2, 0))


def test_the_levels_of_a_pyramidal_ome_tiff_are_found(tmp_path: Path):
    values = np.arange(3 * 256 * 384, dtype=np.uint16).reshape(3, 256, 384)
    path = tmp_path / "stack.ome.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        facts = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
        file.write(values, subifds=1, metadata=facts, tile=(64, 64), photometric="minisblack")
        file.write(values[:, ::2, ::2], subfiletype=1, tile=(64, 64), photometric="minisblack")
    with open_scene(path) as pyramid:
        assert [level.shape for level in pyramid.levels] == [(3, 256, 384), (3, 128, 192)]
        assert pyramid.spacing_mm == pytest.approx((0.002, 0.00025, 0.00025))
        part = pyramid.full.read((slice(1, 3), slice(100, 200), slice(10, 20)))
    np.testing.assert_array_equal(part.values[0], values[1:3, 100:200, 10:20])


@pytest.mark.parametrize("step", [1, 3])
def test_a_damaged_piece_is_zero_and_told_and_the_rest_is_there(
    tmp_path: Path, colours: np.ndarray, step: int
):
    path = write_zarr(tmp_path / "torn.zarr", np.moveaxis(colours, 2, 0), "cyx", omero=COLOURS)
    whole = np.moveaxis(colours[::step, ::step], 2, 0).copy()
    for channel in range(3):
        piece = next(
            p
            for p in (path / "0").rglob("*")
            if p.is_file() and p.name in (f"{channel}.1.1", f"{channel}/1/1")
        )
        piece.write_bytes(b"torn")
    with open_scene(path) as pyramid:
        part = pyramid.full.read((slice(0, 1), slice(0, 400), slice(0, 300)), step)
    assert [box[1:] for box in part.lost] == [(slice(128, 256), slice(128, 256))]
    first, last = -(-128 // step), -(-256 // step)
    whole[:, first:last, first:last] = 0
    np.testing.assert_array_equal(part.values[:, 0], whole)


def test_a_sparse_slide_of_forty_thousand_is_opened_in_place(tmp_path: Path):
    corner = picture(1024, 1024)
    path = write_sparse_tiff(tmp_path / "wide.tif", 40_000, corner)
    assert path.stat().st_size < 5e6 and is_scene(path)
    with open_scene(path) as pyramid:
        part = pyramid.full.read((slice(0, 1), slice(500, 1100), slice(500, 1100)))
    np.testing.assert_array_equal(part.values[:, 0, :524, :524], np.moveaxis(corner[500:, 500:], 2, 0))
    assert not part.values[:, 0, 524:].any()


def test_what_cannot_be_read_rightly_is_refused_in_words(tmp_path: Path):
    flat = np.zeros((2, 40, 50), np.uint8)
    moments = write_zarr(tmp_path / "film.zarr", flat, "tyx")
    nothing = tmp_path / "empty.zarr"
    nothing.mkdir()
    (nothing / ".zgroup").write_text('{"zarr_format": 2}')
    torn = tmp_path / "torn.tif"
    torn.write_bytes(b"II*\0torn")
    palette = tmp_path / "palette.tif"
    tifffile.imwrite(palette, flat[0], photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    told = [
        (moments, "2 moments"),
        (nothing, "multiscales"),
        (torn, "no pixels"),
        (palette, "save it as RGB"),
    ]
    for path, word in [*told, (tmp_path / "gone.zarr", "put it back")]:
        with pytest.raises(FileRefused, match=word), open_scene(path):
            pass


def test_pieces_that_do_not_fit_into_memory_are_refused():
    values = np.broadcast_to(np.uint8(0), (40_000, 40_000))
    assert values.size > LARGEST_PIECE
    with pytest.raises(FileRefused, match="save it in tiles"):
        Level(values, "YX", values.shape)
