"""Named channels are kept exactly, shown together, and go with their image wherever it goes."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from storage import formats
from storage.arrays import open_npy
from storage.channels.named import Channel, ChannelLook, composite, picture_of
from storage.formats import FileRefused
from storage.scan import Scan
from storage.store import Store

SHAPE = (3, 5, 7)
TYPES = ("uint8", "uint16", "int16", "float32")


def channels() -> tuple[Channel, ...]:
    """One of each type."""
    rng = np.random.default_rng(4)
    values = [rng.integers(0, 200, SHAPE).astype(kind) for kind in TYPES]
    looks = [ChannelLook(color, (10.0, 150.0)) for color in ("#00ff00", "#ff00ff", "#0000ff", "#ffffff")]
    return tuple(
        Channel(f"stain {kind}", one, look) for kind, one, look in zip(TYPES, values, looks, strict=True)
    )


def scan_of(named: tuple[Channel, ...]) -> Scan:
    return Scan("cells.tif", picture_of(named), None, None, named=named)


def test_channels_come_back_as_they_were_and_go_with_their_image(tmp_path: Path):
    store, named = Store(tmp_path / "p"), channels()
    image = store.add_image(scan_of(named))
    store.close()
    store = Store(tmp_path / "p")
    rows = store.image(image).named
    assert [row.name for row in rows] == [channel.name for channel in named]
    for row, channel in zip(rows, named, strict=True):
        kept = open_npy(row.path)
        assert kept.dtype == channel.values.dtype and np.array_equal(kept, channel.values)
        assert row.look == channel.look and row.dtype == str(channel.values.dtype)
        assert row.value_range == (channel.values.min(), channel.values.max())
    assert store.images()[1][0].named == store.images_of([image])[0].named == rows
    with pytest.raises(ValueError, match="is in the project already"):
        store.add_image(scan_of(named))
    store.close()


def test_the_same_picture_of_other_channels_is_another_image(tmp_path: Path):
    store, named = Store(tmp_path / "p"), channels()
    hidden = Channel("dark", named[0].values + 1, ChannelLook("#00ff00", (0.0, 1.0), shown=False))
    store.add_image(scan_of(named))
    store.add_image(scan_of((*named[:3], Channel(named[3].name, named[3].values, named[3].look), hidden)))
    assert store.images()[0] == 2
    store.close()


def test_a_composite_adds_windowed_colours():
    values = np.array([[0, 50, 100, 200]], np.uint16)
    green, white = ChannelLook("#00ff00", (0, 100)), ChannelLook("#ffffff", (0, 200), gamma=2.0)
    assert composite([(values, green)])[0].tolist() == [[0, 0, 0], [0, 127, 0], [0, 255, 0], [0, 255, 0]]
    both = composite([(values, green), (values, white)])[0].tolist()
    assert both == [[0, 0, 0], [15, 143, 15], [63, 255, 63], [255, 255, 255]]
    hidden = ChannelLook("#ffffff", (0, 200), shown=False)
    assert composite([(values, green), (values, hidden)]).tolist() == composite([(values, green)]).tolist()


def test_a_look_that_cannot_be_is_refused():
    for color, window, gamma in (("red", (0, 1), 1), ("#ff0000", (1, 1), 1), ("#ff0000", (0, 1), 0)):
        with pytest.raises(ValueError, match="colour is written|needs finite low|gamma lies"):
            ChannelLook(color, window, gamma)


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
 DimensionOrder="XYZCT" Type="uint16" SizeX="7" SizeY="5" SizeZ="3" SizeC="2" SizeT="1" PhysicalSizeX="0.5"
 PhysicalSizeY="0.5" PhysicalSizeZ="2"><Channel ID="Channel:0:0" Name="DAPI" Color="65535" SamplesPerPixel="1"/>
<Channel ID="Channel:0:1" Name="GFP" Color="16711935" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>"""


def test_an_ome_tiff_says_names_and_colours(tmp_path: Path):
    values = np.random.default_rng(1).integers(0, 60000, (2, *SHAPE)).astype(np.uint16)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, values, photometric="minisblack", description=OME, metadata=None)
    scan = formats.read(path)
    assert [(c.name, c.look.color) for c in scan.named] == [("DAPI", "#0000ff"), ("GFP", "#00ff00")]
    assert all(np.array_equal(c.values, v) for c, v in zip(scan.named, values, strict=True))
    assert scan.spacing_mm == pytest.approx((0.002, 0.0005, 0.0005))
    assert scan.remarks == ("its 2 channels are one image: DAPI, GFP",) == formats.look(path).remarks


def test_an_imagej_hyperstack_says_names_colours_and_windows(tmp_path: Path):
    values = np.random.default_rng(1).integers(0, 4000, (3, 2, 5, 7)).astype(np.uint16)
    path, ramp = tmp_path / "a.tif", np.arange(256, dtype=np.uint8)
    tables = [np.stack([ramp, 0 * ramp, 0 * ramp]), np.stack([0 * ramp, ramp, ramp])]
    labels = [f"c:{c}/2 z:{z}/3 - {name}" for z in (1, 2, 3) for c, name in ((1, "actin"), (2, "DNA"))]
    about = {"axes": "ZCYX", "LUTs": tables, "Ranges": (10.0, 900.0, 20.0, 2000.0), "Labels": labels}
    tifffile.imwrite(path, values, imagej=True, metadata=about)
    scan = formats.read(path)
    assert [(c.name, c.look.color, c.look.window) for c in scan.named] == [
        ("actin", "#ff0000", (10.0, 900.0)),
        ("DNA", "#00ffff", (20.0, 2000.0)),
    ]
    for number, channel in enumerate(scan.named):
        assert np.array_equal(channel.values, values[:, number])


def described(folder: Path, names: dict[str, str]) -> Path:
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"modality": names}))
    return folder / "imagesTr"


def test_volumes_along_the_fourth_axis_are_channels_where_a_data_set_names_them(tmp_path: Path):
    values = np.random.default_rng(1).integers(0, 900, (7, 5, 3, 2)).astype(np.int16)
    folder = described(tmp_path / "set", {"0": "FLAIR", "1": "T1w"})
    for path in (folder / "a.nii.gz", tmp_path / "b.nii.gz"):
        nib.save(nib.Nifti1Image(values, np.diag([1, 1, 2, 1])), path)
    scan = formats.read(folder / "a.nii.gz")
    plain = [
        formats.read(_single(tmp_path / f"{n}.nii", values[..., n])).pixels for n in range(2)
    ]  # turned alike
    assert [c.name for c in scan.named] == ["FLAIR", "T1w"] and scan.spacing_mm == (2, 1, 1)
    assert all(np.array_equal(c.values, p) for c, p in zip(scan.named, plain, strict=True))
    assert [c.look.shown for c in scan.named] == [True, False]  # sequences are looked at one by one
    with pytest.raises(FileRefused, match="4-D"):
        formats.read(tmp_path / "b.nii.gz")


def _single(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, 2, 1])), path)
    return path


def test_a_vector_of_nifti_is_channels(tmp_path: Path):
    values = np.random.default_rng(1).normal(size=(7, 5, 3, 1, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    scan = formats.read(tmp_path / "a.nii")
    assert [c.name for c in scan.named] == [f"Component {n}" for n in (1, 2, 3, 4)]
    assert scan.named[2].values.dtype == np.float32 and scan.shape == (3, 5, 7)
