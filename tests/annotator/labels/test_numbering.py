"""Numbers for objects: what touches comes apart, what is one stays one, classes and slices keep theirs."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from annotator.labels.label_cache import LabelCache
from annotator.labels.numbering import MAX_OBJECTS, NumberSources, continued, number_patches
from annotator.labels.object_numbers import free_numbers
from learners.objects.cutting import number_objects
from storage.arrays import ERASED, UNLABELLED, Box, Patch, SliceRef
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn

SOURCES = NumberSources(lambda count: range(1, count + 1), lambda *_: None)


def discs(*at: tuple[int, int, int], shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.any([(rows - r) ** 2 + (columns - c) ** 2 <= radius**2 for r, c, radius in at], 0)


def test_two_that_touch_come_apart_and_one_stays_one():
    classes = discs((20, 20, 12), (20, 40, 12), (45, 70, 10)).astype(np.uint8)[None]
    numbers = number_objects(classes, (1, 1, 1), first=5)
    assert set(np.unique(numbers)) == {0, 5, 6, 7} and (numbers > 0).tolist() == (classes == 1).tolist()
    assert numbers[0, 20, 12] != numbers[0, 20, 48] != numbers[0, 45, 70]
    bar = np.zeros((1, 30, 80), np.uint8)
    bar[0, 10:18, 5:75] = 1
    assert set(np.unique(number_objects(bar, (1, 1, 1)))) == {0, 1}


def test_classes_never_share_a_number_and_what_is_no_object_has_none():
    classes = np.zeros((1, 12, 40), np.uint8)
    classes[0, 2:8, 2:8], classes[0, 2:8, 8:14], classes[0, :, 20:30], classes[0, :, 30:] = (
        1,
        2,
        ERASED,
        UNLABELLED,
    )
    numbers = number_objects(classes, (1, 1, 1))[0]
    assert (
        numbers[4, 4] != numbers[4, 10] and not numbers[:, 20:].any() and set(np.unique(numbers)) == {0, 1, 2}
    )


def test_balls_of_a_volume_come_apart_at_their_true_distances():
    z, y, x = np.ogrid[:12, :60, :60]
    two = ((3 * (z - 6)) ** 2 + (y - 30) ** 2 + (x - 20) ** 2 < 144) | (
        (3 * (z - 6)) ** 2 + (y - 30) ** 2 + (x - 40) ** 2 < 144
    )
    numbers = number_objects(two.astype(np.uint8), (3, 1, 1))
    assert set(np.unique(numbers)) == {0, 1, 2} and numbers[6, 30, 12] != numbers[6, 30, 48]
    long = ((3 * (z - 6)) ** 2 + (y - 30) ** 2 < 100) & (x > 4) & (x < 55)
    assert set(np.unique(number_objects(long.astype(np.uint8), (3, 1, 1)))) == {0, 1}


def test_an_object_keeps_the_number_of_the_slice_beside_it_where_it_lies_on_it():
    numbers = np.zeros((1, 4, 12), np.uint32)
    numbers[0, :, :4], numbers[0, :, 6:10] = 3, 4
    beside = np.zeros((4, 12), np.uint16)
    beside[:, :3], beside[:, 9:] = 9, 8
    assert continued(numbers[0], beside) == {3: 9}


def test_patches_of_slices_get_one_number_for_what_goes_through_them():
    classes = np.full((6, 8), UNLABELLED, np.uint8)
    classes[1:5, 1:5] = 1
    patches = [(3, Patch(Box(2, 2, 8, 10), classes)), (4, Patch(Box(2, 3, 8, 11), classes))]
    numbered = number_patches(patches, (1, 1, 1), SOURCES)
    assert all(
        set(np.unique(p.instances)) == {0, 1} and p.instances.shape == p.box.shape for _, p in numbered
    )


def test_objects_that_the_producer_told_apart_keep_to_its_borders_and_the_rest_is_cut():
    classes = np.full((6, 20), UNLABELLED, np.uint8)
    classes[1:5, 1:9], classes[1:5, 12:16], classes[0, 18] = 1, 1, 0
    own = np.zeros((6, 20), np.uint16)
    own[:, :5], own[:, 5:10] = 700, 3
    classes[1:5, 3] = 2  # part of an object that labels have made another class since
    patch = Patch(Box(2, 2, 8, 22), classes)
    sources = replace(SOURCES, proposed=lambda index, box: own)
    ((_, found),) = number_patches([(4, patch)], (1, 1, 1), sources)
    numbers = found.instances
    assert numbers is not None and len(np.unique(numbers)) == 5
    for part in (np.s_[1:5, 1:3], np.s_[1:5, 3], np.s_[1:5, 5:9], np.s_[1:5, 12:16]):
        assert len(np.unique(numbers[part])) == 1
    assert numbers[2, 4] == numbers[2, 1] != numbers[2, 5] and not numbers[0].any()


def test_numbers_that_ran_out_are_used_again_and_never_overflow(store: Store):
    image = store.add_image(ball()[0])
    store.add_label(numbered(image, 0, MAX_OBJECTS))
    store.add_label(numbered(image, 1, 1))
    undone = numbered(image, 2, 2)
    store.add_label(undone)
    store.revoke(undone.client_id, client_id="u", author="ann")
    folded = LabelCache(store).get(image)
    assert list(free_numbers(store, folded, image, 2)) == [3, 4]
    every = list(free_numbers(store, folded, image, MAX_OBJECTS - 2))
    assert len(set(every)) == len(every) and every[-1] == 2, "of what was undone last"
    with pytest.raises(ValueError, match="at most 65,535 numbered objects"):
        free_numbers(store, folded, image, MAX_OBJECTS - 1)


def numbered(image: int, index: int, number: int) -> NewLabel:
    new = drawn(SliceRef(image, 0, index), np.ones((2, 2), np.uint8))
    assert new.patch is not None
    patch = replace(new.patch, instances=np.full((2, 2), number, np.uint16))
    return replace(new, patch=patch, instance=number)


def test_nuclei_that_touch_are_found_one_by_one(shared_data: Path):
    """Pictures of one kind with crowded nuclei: true masks laid together and taken apart again."""
    folder, found, pieces, there = shared_data / "dsb2018-nuclei", [0, 0], [0, 0], 0
    with open(folder / "split.csv", newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["domain"] == "fluo320"]
    for name in names[:4]:
        picture = cv2.imread(str(folder / "labels" / f"{Path(name).stem}.png"), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        truth = np.unique(picture, return_inverse=True)[1].reshape(picture.shape)
        union = (truth > 0).astype(np.uint8)[None]
        there += int(truth.max())
        for counts, numbers in (
            (found, number_objects(union, (1, 1, 1))[0]),
            (pieces, ndimage.label(union[0])[0]),
        ):
            counts[0] += int(numbers.max())
            counts[1] += matched(truth, numbers)
    f1, alone = (2 * hits / (count + there) for count, hits in (found, pieces))
    assert f1 > 0.9 and f1 > alone + 0.15, (f1, alone)


def matched(truth: np.ndarray, numbers: np.ndarray) -> int:
    """Objects with one of an IoU above 0.5."""
    bins = [np.arange(truth.max() + 2) - 0.5, np.arange(numbers.max() + 2) - 0.5]
    both = np.histogram2d(truth.ravel(), numbers.ravel(), bins=bins)[0]
    union = both.sum(1, keepdims=True) + both.sum(0)[None] - both
    return int((both[1:, 1:] / union[1:, 1:] > 0.5).sum())
