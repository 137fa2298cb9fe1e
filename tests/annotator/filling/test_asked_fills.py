"""Fills for other tools: of volumes that nobody keeps, each by its own pixels."""

from pathlib import Path

import numpy as np
import pytest

from annotator.filling.asked_fills import AskedFills, FillQuestion
from learners.propagate.contract import LabelledSlice
from learners.propagate.process import Filler, FillSpec
from storage.arrays import UNLABELLED, write_npy
from storage.store import Store


def asked(folder: Path, radius_at: dict[int, int]) -> FillQuestion:
    """A bright disc on slice 3 of eleven that grows or shrinks away from it, of which slice 3 is known."""
    rows, columns = np.ogrid[:32, :36]
    inside = np.array([(rows - 15) ** 2 + (columns - 17) ** 2 <= radius_at[z] ** 2 for z in range(11)])
    noise = np.random.default_rng(0).normal(0, 4, inside.shape)
    path = folder / f"{radius_at[8]}.npy"
    write_npy(path, (50 + 120 * inside + noise).astype(np.float32))
    known = np.full(inside.shape, UNLABELLED, np.uint8)
    known[3] = inside[3]
    slices = (LabelledSlice(0, 3, True, (1,)),)
    return FillQuestion("ann", path, known, slices, (1.0, 1.0, 1.0), (30.0, 190.0))


def test_two_volumes_with_the_same_labelled_slice_are_filled_each_by_its_own_pixels(
    store: Store, tmp_path: Path
):
    large = asked(tmp_path, {z: 9 for z in range(11)})
    small = asked(tmp_path, {z: 9 if z < 5 else 4 for z in range(11)})
    np.testing.assert_array_equal(large.known, small.known)
    fills = AskedFills(store)
    try:
        first, second = (fills.fill("random_walker", one)[0] for one in (large, small))
    finally:
        fills.close()
    assert (second[8] == 1).sum() < 0.6 * (first[8] == 1).sum()


def test_nobody_waits_for_the_disk_where_a_fill_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    question = asked(tmp_path, {z: 9 for z in range(11)})
    write_npy(tmp_path / "known.npy", question.known)
    out = tmp_path / "classes.npy", tmp_path / "confidence.npy"
    spec = FillSpec(
        1,
        "random_walker",
        question.pixels,
        tmp_path / "known.npy",
        question.slices,
        question.spacing_mm,
        question.window,
        60.0,
        *out,
        kept=False,
    )

    def wait(descriptor: int) -> None:
        raise AssertionError("it waited for the disk")

    monkeypatch.setattr("os.fsync", wait)
    assert Filler().fill(spec, lambda: False, lambda share: None).finished
    assert (np.load(out[0]) == 1)[8].sum() > 100 and np.load(out[1])[3].min() == 255
