"""Packed pixels: a damaged byte is noticed, however the library that reads them takes it."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK

from storage import formats
from storage.formats import FileRefused
from storage.formats.packed import QUICK, gzipped_labels


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.nii.gz"])
def test_a_damaged_byte_in_packed_pixels_is_noticed(tmp_path, name):
    values = np.random.default_rng(0).integers(0, 900, (12, 30, 40)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / name), useCompression=True)
    packed = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    whole = packed.read_bytes()
    assert np.array_equal(np.sort(formats.read(tmp_path / name).pixels, None), np.sort(values, None))
    for at in (len(whole) // 2, len(whole) - 7):
        packed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(FileRefused, match="damaged"):
            formats.read(tmp_path / name)
    if name.endswith(".gz"):
        packed.write_bytes(
            gzip.compress(gzip.decompress(whole)[:999]) + gzip.compress(gzip.decompress(whole)[999:])
        )
        assert np.array_equal(np.sort(formats.read(tmp_path / name).pixels, None), np.sort(values, None))


def test_packed_pixels_of_unknown_length_are_refused(tmp_path):
    head = "NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nCompressedData = True\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(head.encode() + zlib.compress(bytes(48)))
    with pytest.raises(FileRefused, match="how long its packed pixels are"):
        formats.read(tmp_path / "a.mha")


@pytest.mark.parametrize("level", [QUICK, 6])
def test_a_packed_label_map_unpacks_to_the_same_bytes(level: int):
    """Runs of every length, and none at all."""
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.integers(0, 3, 4000), rng.integers(1, 700, 4000)).astype(np.uint8)
    for voxels in (runs.tobytes(), rng.bytes(70_000), b""):
        packed = gzipped_labels(voxels, level)
        assert gzip.decompress(packed) == voxels and packed == gzipped_labels(voxels, level)
