"""Numbered labels become depth and nearness, and depth and nearness become numbered objects again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learners.objects.assemble import ApartMaps, assemble
from learners.objects.cutting import number_objects
from learners.objects.distances import DEEP, DEEP_KNOWN, NEAR, NEAR_KNOWN, taught
from learners.objects.scale import ObjectScale, object_scale, same_objects
from learners.objects.scores import count_objects
from learners.objects.taught import TaughtDistances
from learners.spec import Example
from storage.arrays import UNLABELLED, write_npy

ONE = (1.0, 1.0, 1.0)
SCALE = ObjectScale((1,), 1.0, 4.0, flat=True, by_shape=False)


def touching(depth: int = 1, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Classes and numbers of three balls in a row, each touching the next, and a fourth at the picture's edge."""
    z, y, x = np.ogrid[:depth, :side, : side + 17]
    classes, numbers = (np.zeros((depth, side, side + 17), kind) for kind in (np.uint8, np.uint16))
    places = [(20, 12), (22, 25), (18, 38), (0, 50)]
    for number, (row, column) in zip((3, 9, 10, 400), places):
        far = (z - depth // 2) ** 2 + (y - row) ** 2 + (x - column) ** 2
        inside = (far <= 49) & (numbers == 0)
        numbers[inside], classes[inside] = number, 1
    return classes, numbers


@pytest.mark.parametrize("depth", [1, 17])
def test_what_is_taught_of_touching_objects_tells_them_apart_again(depth: int):
    classes, numbers = touching(depth)
    values = taught(classes, numbers, (1,), ONE)
    found = assemble(classes, values[:2], replace(SCALE, flat=depth == 1))
    counts = count_objects(found.numbers, numbers, np.ones(numbers.shape, bool))
    assert counts.true == counts.proposed == 4 and counts.mean_ap and counts.mean_ap > 0.9
    assert np.array_equal(found.numbers > 0, numbers > 0) and np.array_equal(found.classes, classes)
    assert not found.left_out.any()


def test_an_object_is_deep_inside_and_shallow_at_a_neighbour_and_the_pictures_edge_is_no_border():
    classes, numbers = touching()
    values = taught(classes, numbers, (1,), ONE)
    deep, near = values[DEEP, 0], values[NEAR, 0]
    assert values[DEEP_KNOWN].all() and values[NEAR_KNOWN].all()
    assert deep[22, 25] > 230 and near[22, 25] > 230
    border = (numbers[0, :, :-1] == 9) & (numbers[0, :, 1:] == 10)
    assert border.any() and deep[:, :-1][border].max() < 70
    assert deep[0, 50] > 200, "the object at the edge goes on beyond it"
    assert (deep[numbers[0] == 0] == 0).all()


def test_an_object_without_a_number_teaches_nothing_and_neither_does_what_nobody_said():
    classes, numbers = touching()
    numbers[numbers == 9] = 0
    classes[:, 30:] = UNLABELLED
    values = taught(classes, numbers, (1,), ONE)
    unnumbered = (classes == 1) & (numbers == 0)
    assert unnumbered.any()
    for channel in (DEEP_KNOWN, NEAR_KNOWN):
        assert not values[channel][unnumbered].any() and not values[channel][classes == UNLABELLED].any()
        assert values[channel][numbers == 3].all() and values[channel][classes == 0].all()


def test_a_dot_in_an_object_says_nothing_of_its_depth():
    known = np.full((1, 30, 30), UNLABELLED, np.uint8)
    numbers = np.zeros(known.shape, np.uint16)
    known[0, 10:13, 10:13], numbers[0, 10:13, 10:13] = 1, 5
    values = taught(known, numbers, (1,), ONE)
    assert not values[DEEP_KNOWN].any() and not values[NEAR_KNOWN].any()


def test_one_slice_of_a_volume_teaches_depth_and_no_centre():
    classes, numbers = touching(17)
    known = np.full_like(classes, UNLABELLED)
    known[8] = classes[8]
    values = taught(known, np.where(known == 1, numbers, np.uint16(0)), (1,), ONE)
    inside = known == 1
    assert values[DEEP_KNOWN][inside].all() and not values[NEAR_KNOWN][inside].any()
    assert values[DEEP, 8, 22, 25] > 230


def test_a_class_of_areas_is_no_object_and_borders_the_others():
    classes, numbers = touching()
    classes[numbers == 9], numbers[numbers == 9] = 2, 0
    values = taught(classes, numbers, (1,), ONE)
    assert values[DEEP_KNOWN].all() and (values[DEEP][classes == 2] == 0).all()
    found = assemble(classes, values[:2], SCALE)
    assert set(np.unique(found.numbers[classes == 2])) == {0}
    assert found.numbers.max() == 3 and np.array_equal(found.classes, classes)


def test_an_object_is_of_one_class_and_specks_are_left_out():
    classes, numbers = touching()
    apart = taught(classes, numbers, (1,), ONE)[:2]
    classes[0, 17:20, 10:13] = 2
    classes[0, 36, 3] = 1
    found = assemble(classes, apart, replace(SCALE, class_ids=(1, 2)))
    assert (found.classes[numbers == 3] == 1).all()
    assert found.left_out[0, 36, 3] and found.left_out.sum() == 1 and found.classes[0, 36, 3] == 0


def test_masks_are_cut_by_shape_until_the_network_knows_more():
    classes, _ = touching()
    nonsense = np.random.default_rng(0).integers(0, 255, (2, *classes.shape), np.uint8)
    found = assemble(classes, nonsense, replace(SCALE, by_shape=True))
    cut = number_objects(classes, ONE)
    assert np.array_equal(found.numbers > 0, cut > 0) and found.numbers.max() == cut.max() == 4


def test_tiles_are_kept_as_bytes_where_they_lie():
    maps = ApartMaps((1, 6, 8))
    maps.add((slice(0, 1), slice(2, 4), slice(0, 8)), np.full((2, 1, 2, 8), 0.5, np.float32))
    assert set(np.unique(maps.values[:, :, 2:4])) == {128} and maps.values.sum() == 2 * 16 * 128


def labelled(folder: Path, side: int, **more: object) -> Example:
    """A picture of squares of this side."""
    numbers = np.zeros((1, 300, 320), np.uint16)
    for number, (row, column) in enumerate([(10, 10), (10, 150), (150, 20)], start=1):
        numbers[0, row : row + side, column : column + side] = number
    write_npy(folder / f"{side}n.npy", numbers)
    write_npy(folder / f"{side}k.npy", (numbers > 0).astype(np.uint8))
    example = Example(side, folder / "p.npy", numbers.shape, 1, None, folder / f"{side}k.npy")
    return replace(example, numbers=folder / f"{side}n.npy", slices=((0, 0),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "shrink"), [(5, 0.56), (20, 1.0), (100, 2.5)])
def test_the_scale_follows_the_size_of_what_was_labelled(tmp_path: Path, side: int, shrink: float):
    scale = object_scale([labelled(tmp_path, side)], 2, (1, 2))
    assert scale is not None and scale.class_ids == (1,) and scale.flat
    assert scale.shrink == pytest.approx(shrink, abs=0.01) and scale.smallest == pytest.approx(
        side * side / 4, abs=0.06
    )
    assert ObjectScale.from_json(scale.as_json()) == scale
    near = replace(scale, shrink=scale.shrink * 1.3)
    kept = object_scale([labelled(tmp_path, side)], 2, (1,), near)
    assert kept is not None and kept.shrink == near.shrink and not same_objects(kept, None)


def test_without_numbers_there_is_no_scale(tmp_path: Path):
    example = labelled(tmp_path, 20)
    assert object_scale([replace(example, numbers=None)], 2, (1,)) is None
    assert object_scale([replace(example, all_held=True)], 2, (1,)) is None
    assert object_scale([example], 2, (2,)) is None


def test_held_out_slices_teach_nothing_and_the_files_go(tmp_path: Path):
    example = labelled(tmp_path, 20)
    whole = (slice(0, 1), slice(0, 300), slice(0, 320))
    own = TaughtDistances(tmp_path, SCALE)
    assert own.of(example, whole)[DEEP].any()
    assert [path.name for path in tmp_path.glob("taught-*")] == ["taught-20.npy"]
    own.forget()
    assert not list(tmp_path.glob("taught-*"))
    assert not own.of(replace(example, held=((0, 0),)), whole).any()
