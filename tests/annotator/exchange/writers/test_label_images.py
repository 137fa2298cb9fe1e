"""Cellpose's files and StarDist's folders: tifffile and NumPy find every object's number, and they come back."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from storage.store import Store
from tests.support.labelled_projects import (
    exported,
    imported,
    known_of,
    named,
    numbers_of,
    picture_file,
    project_of_pictures,
    project_of_volumes,
)


def table(path: Path) -> dict[tuple[str, int], str]:
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["file"], int(row["value"])): row["class"] for row in csv.DictReader(file)}


def same_objects(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = np.unique(np.c_[first.ravel(), second.ravel()], axis=0)
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))


def test_cellpose_gets_numbers_and_comes_back_with_classes(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    out = exported(store, tmp_path / "out", "cellpose") / "cellpose"
    classes_of = table(out / "objects.csv")
    for source, (classes, numbers) in truths.items():
        stem = Path(source).stem
        masks = tifffile.imread(out / f"{stem}_masks.tif")
        assert masks.dtype == np.uint16 and np.array_equal(masks, numbers[0])
        own = np.load(out / f"{stem}_seg.npy", allow_pickle=True).item()
        assert np.array_equal(own["masks"], masks) and own["filename"] == f"{stem}.tif"
        assert set(np.unique(own["outlines"])) == set(range(6)) and len(own["ismanual"]) == 5
        for number in range(1, 6):
            assert classes_of[f"{stem}_masks.tif", number] == named(store, classes)[numbers == number][0]
    again = Store(tmp_path / "again")
    report = imported(again, out)  # masks lie beside their images
    assert len(report.added) == len(report.labelled) == 2 and not report.refused
    for source, known in known_of(again).items():
        classes, numbers = truths[source.replace(".tif", ".png")]
        assert np.array_equal(named(again, known), named(store, classes))
        ours = numbers_of(again)[source]
        assert ours is not None and np.array_equal(ours, numbers)
    again.close()


def test_stardist_has_a_test_part_of_what_is_held_out(store: Store, tmp_path: Path):
    truths = project_of_pictures(store, tmp_path / "in")
    store.rounds.hold_out(1)
    out = exported(store, tmp_path / "out", "stardist")
    told = json.loads((out / "provenance.json").read_text("utf-8"))["images"]
    assert all("objects.csv says the class of each" in image["problems"][0] for image in told)
    found = {path.stem: tifffile.imread(path) for path in (out / "stardist").rglob("masks/*.tif")}
    assert len(list((out / "stardist/test/images").iterdir())) == 1
    for source, (_, numbers) in truths.items():
        assert np.array_equal(found[Path(source).stem], numbers[0])
    again = Store(tmp_path / "again")
    assert len(imported(again, out / "stardist").labelled) == 2
    for source, known in known_of(again).items():
        classes, _ = truths[f"{Path(source).stem}.png"]
        assert np.array_equal(named(again, known), named(store, classes))
    again.close()


def test_parts_of_volumes_without_numbers_get_one_each(store: Store, tmp_path: Path):
    truths = project_of_volumes(store, tmp_path / "in", unknown=False)
    out = exported(store, tmp_path / "out", "cellpose") / "cellpose"
    for source, truth in truths.items():
        masks = tifffile.imread(out / source.replace(".nii.gz", "_masks.tif"))
        for class_id in (1, 2):
            parts, _ = ndimage.label(truth == class_id, np.ones((3, 3, 3)))
            assert same_objects(np.where(truth == class_id, masks, 0), parts)


def test_a_seg_file_of_cellpose_comes_in_and_never_runs_a_program(store: Store, tmp_path: Path):
    picture_file(tmp_path / "in/a.png", (6, 8))
    masks = np.zeros((6, 8), np.uint32)
    masks[1:3, 1:3], masks[4, 5:] = 3, 9
    path = tmp_path / "in/a_seg.npy"
    flows = [np.zeros((2, 6, 8), np.float32), np.float64(1.5), None]
    np.save(path, np.array({"masks": masks, "flows": flows, "filename": "/somewhere/a.png"}, object))
    assert len(imported(store, tmp_path / "in").labelled) == 1
    (numbers,) = numbers_of(store).values()
    assert numbers is not None and np.array_equal(numbers[0], masks)
    assert [c.name for c in store.classes()] == ["object"]
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return mark.touch, ()

    with open(path, "wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump({"masks": Evil()}, file)
    (line,) = imported(store, tmp_path / "in").refused
    assert "could run a program; save its masks as TIFF" in line and not mark.exists()


@pytest.mark.parametrize("content", [{"flows": 1}, {"masks": np.zeros((3, 3), int)}])
def test_a_seg_file_without_fitting_masks_costs_a_sentence(store: Store, tmp_path: Path, content: dict):
    picture_file(tmp_path / "in/a.png", (6, 8))
    np.save(tmp_path / "in/a_seg.npy", np.array(content, object))
    (line,) = imported(store, tmp_path / "in").refused
    assert "holds no masks" in line or "1 x 3 x 3 and the image 1 x 6 x 8" in line
