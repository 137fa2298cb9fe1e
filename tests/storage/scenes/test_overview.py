"""The overview shows the whole scene, hatched where nothing can be read; regions are scans of it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.scenes.files import open_scene
from storage.scenes.overview import make_overview
from storage.scenes.region import region_scan
from storage.scenes.regions import RegionGrid
from tests.support.scenes import picture, write_zarr

COLOURS = [{"label": name} for name in "RGB"]


def seen(webp: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"))


def test_regions_tile_the_scene_and_none_is_a_strip():
    grid = RegionGrid((1, 40_000, 2500), (1, 1024, 1024), (0, 64, 64))
    assert grid.counts == (1, 39, 2)
    rows = [grid.inner((0, n, 0))[1] for n in range(39)]
    assert [s.start for s in rows[1:]] == [s.stop for s in rows[:-1]]
    assert (rows[0].start, rows[-1].stop) == (0, 40_000) and rows[-1].stop - rows[-1].start == 1088
    assert grid.outer((0, 1, 1)) == (slice(0, 1), slice(960, 2112), slice(960, 2500))
    assert grid.name((0, 2, 11)) == "r3 c12"
    with pytest.raises(LookupError):
        grid.check((0, 39, 0))


def test_small_scenes_are_one_region():
    assert RegionGrid.usual((1, 30, 20)).counts == (1, 1, 1)
    assert RegionGrid.usual((1000, 4096, 4096)).counts == (8, 16, 16)


def test_an_overview_is_the_scene_made_smaller(tmp_path: Path):
    values = np.zeros((3, 4200, 900), np.uint8)
    values[0, 2100:], values[1, :, 450:] = 200, 100
    path = write_zarr(tmp_path / "a.zarr", values, "cyx", chunk=512, omero=COLOURS)
    with open_scene(path) as pyramid:
        overview = make_overview(pyramid, RegionGrid.usual(pyramid.full.shape))
    shown = seen(overview.pictures[0]).astype(int)
    assert shown.shape == (1400, 300, 3) and overview.lost == 0
    for row, column, colour in [(100, 50, (0, 0, 0)), (100, 250, (0, 100, 0)), (1300, 250, (200, 100, 0))]:
        assert np.abs(shown[row, column] - colour).max() < 12


def test_an_overview_is_hatched_where_a_piece_is_damaged(tmp_path: Path):
    values = np.full((300, 400), 700, np.uint16)
    values[:, 200:] = 100
    path = write_zarr(tmp_path / "a.zarr", values, "yx")
    (path / "0" / "1.1").write_bytes(b"torn")
    with open_scene(path) as pyramid:
        overview = make_overview(pyramid, RegionGrid.usual(pyramid.full.shape))
    shown = seen(overview.pictures[0]).astype(int)
    assert overview.lost == 1 and shown[60, 60].min() > 230
    assert {bool(v > 75) for v in shown[140:240:8, 190, 0]} == {True, False}


def test_a_volume_has_an_overview_for_each_slab(tmp_path: Path):
    values = np.zeros((300, 60, 50), np.float32)
    values[120:] = 1
    path = write_zarr(tmp_path / "deep.zarr", values, "zyx")
    with open_scene(path) as pyramid:
        grid = RegionGrid.usual(pyramid.full.shape)
        overview = make_overview(pyramid, grid)
        scan = region_scan(pyramid, grid.outer((1, 0, 0)), overview.look, "deep z2 r1 c1")
    assert len(overview.pictures) == 2
    assert seen(overview.pictures[0]).max() < 90 < 160 < seen(overview.pictures[1]).min()
    np.testing.assert_array_equal(scan.pixels, values[120:])
    assert scan.geometry["affine"][2][3] == pytest.approx(120 * 0.001)


def test_regions_of_a_scene_share_one_window(tmp_path: Path):
    values = np.zeros((40, 3000), np.int16)
    values[:, 1500:] = np.arange(1500)
    path = write_zarr(tmp_path / "ramp.zarr", values, "yx", chunk=500)
    with open_scene(path) as pyramid:
        grid = RegionGrid.usual(pyramid.full.shape)
        look = make_overview(pyramid, grid).look
        scans = [region_scan(pyramid, grid.outer((0, 0, n)), look, f"r1 c{n}") for n in range(grid.counts[2])]
    assert len({scan.window for scan in scans}) == 1 and scans[0].value_range == (0, 0)
    assert scans[0].source == "" and scans[1].shape == (1, 40, 1152)


def test_stains_come_with_every_region(tmp_path: Path):
    values = np.stack([picture(60, 70)[..., 0], picture(60, 70)[..., 1]])
    path = write_zarr(tmp_path / "a.zarr", values, "cyx", omero=[{"label": "DNA"}, {"label": "actin"}])
    with open_scene(path) as pyramid:
        grid = RegionGrid.usual(pyramid.full.shape)
        scan = region_scan(pyramid, grid.outer((0, 0, 0)), make_overview(pyramid, grid).look, "a")
    assert [one.name for one in scan.named] == ["DNA", "actin"]
    np.testing.assert_array_equal(scan.named[1].values[0], values[1])
