"""What is withheld because it cannot make sense, and what is not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.learning.quality.withheld import WITHHELD
from learners.prediction.label_guards import LabelGuards, read_guards, save_guards
from learners.prediction.reasons import Reason
from learners.prediction.sensible import Sense
from learners.spec import Example, RoundSpec
from learners.training.data import ImageReader
from learners.training.targets import Classes
from storage.arrays import UNLABELLED, write_npy

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 72
VOLUME = (12, 30, 36)
Image = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # pixels and truth, (Z, Y, X[, 3])


def cells(seed: int) -> Image:
    """Some bright discs on a dark picture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((SIDE, SIDE))
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for row, column in rng.integers(8, SIDE - 8, (4, 2)):
        truth |= (rows - row) ** 2 + (columns - column) ** 2 < 30
    pixels = 20 + 150 * truth + rng.normal(0, 6, truth.shape)
    return pixels.clip(0, 255).astype(np.uint8)[None], truth[None]


def stained(seed: int) -> Image:
    """Dark violet discs on a light rose picture with texture."""
    pixels, truth = cells(seed)
    rng = np.random.default_rng(seed)
    colours = np.where(truth[..., None] > 0, (90, 40, 130), (235, 190, 215))
    grain = rng.normal(0, 25, (1, SIDE, SIDE, 1))
    return (colours + grain).clip(0, 255).astype(np.uint8), truth


def organ(seed: int) -> Image:
    """A bright ellipsoid at nearly the same place in each volume, and as bright a one elsewhere."""
    rng = np.random.default_rng(seed)
    places = [(5.5, 10, 9), (5.5, 21, 27)] + rng.uniform(-1, 1, (2, 3))
    grid = np.indices(VOLUME)
    parts = [sum(((g - m) / r) ** 2 for g, m, r in zip(grid, at, (4, 5, 6))) < 1 for at in places]
    pixels = 60 + 120 * (parts[0] | parts[1]) + rng.normal(0, 6, VOLUME)
    return pixels.clip(0, 255).astype(np.uint8), parts[0].astype(np.uint8)


def reader(folder: Path, number: int, image: Image, *, known: NDArray[np.uint8] | None = None) -> ImageReader:
    pixels, truth = image
    paths = folder / f"{number}.npy", folder / f"{number}-known.npy"
    write_npy(paths[0], pixels)
    slices: tuple[tuple[int, int], ...] = ()
    if known is not None:
        write_npy(paths[1], known)
        slices = tuple((0, int(z)) for z in np.flatnonzero((known != UNLABELLED).any((1, 2))))
    channels = 3 if pixels.ndim == 4 else 1
    example = Example(number, paths[0], truth.shape, channels, (1.0, 1.0, 1.0), slices=slices)
    return ImageReader(
        replace(example, known=paths[1]) if known is not None else example, Classes((1,)), channels
    )


def project(folder: Path, make: Callable[[int], Image], count: int) -> list[ImageReader]:
    """So many wholly labelled images."""
    images = [make(seed) for seed in range(count)]
    return [reader(folder, n, image, known=image[1]) for n, image in enumerate(images, start=1)]


def sense(folder: Path, cases: list[ImageReader]) -> Sense:
    return Sense(cases, RoundSpec("supervised", (1,), tuple(c.example for c in cases), folder))


@pytest.mark.parametrize("count", [1, 4])
def test_a_class_everywhere_is_withheld_where_labels_say_that_it_covers_little(tmp_path: Path, count: int):
    cases, image = project(tmp_path, cells, count), cells(20)
    judge, case = sense(tmp_path, cases), reader(tmp_path, 20, image)
    assert judge.against(case, np.ones_like(image[1])) == "everywhere"
    assert judge.against(case, image[1]) is None
    assert judge.against(case, np.zeros_like(image[1])) is None, "that there is nothing may well be true"


def test_what_may_cover_all_of_a_picture_is_not_withheld(tmp_path: Path):
    half = cells(0)[1]
    half[:, : SIDE * 2 // 3] = 1
    cases, image = [reader(tmp_path, 1, cells(0), known=half)], cells(20)
    wide = np.ones_like(half)
    wide[:, -4:] = 0
    assert sense(tmp_path, cases).against(reader(tmp_path, 20, image), wide) is None


def test_strokes_alone_say_nothing_of_how_much_a_class_covers(tmp_path: Path):
    strokes = np.full((1, SIDE, SIDE), UNLABELLED, np.uint8)
    strokes[0, 30, 30:40], strokes[0, 5, 5:15] = 1, 0
    case = reader(tmp_path, 20, cells(20))
    judge = sense(tmp_path, [reader(tmp_path, 1, cells(0), known=strokes)])
    assert judge.against(case, np.ones((1, SIDE, SIDE), np.uint8)) is None


def test_a_picture_of_another_kind_is_withheld_once_labelled_ones_say_how_much_a_kind_varies(tmp_path: Path):
    cases, other = project(tmp_path, cells, 4), stained(20)
    case = reader(tmp_path, 20, other)
    assert sense(tmp_path, cases[:3]).against(case, other[1]) is None
    assert sense(tmp_path, cases).against(case, other[1]) == "unlike"
    for seed in range(30, 36):
        image = cells(seed)
        assert sense(tmp_path, cases).against(reader(tmp_path, seed, image), image[1]) is None
    labelled = reader(tmp_path, 21, other, known=other[1])
    assert sense(tmp_path, [*cases, labelled]).against(labelled, other[1]) is None
    again = reader(tmp_path, 22, stained(22))
    assert sense(tmp_path, [*cases, labelled]).against(again, stained(22)[1]) is None


def test_an_object_where_none_was_ever_drawn_is_withheld_and_one_nearby_is_not(tmp_path: Path):
    cases, image = project(tmp_path, organ, 4), organ(20)
    judge, case = sense(tmp_path, cases), reader(tmp_path, 20, image)
    assert judge.against(case, image[1]) is None
    assert judge.against(case, np.roll(image[1], 4, 2)) is None
    elsewhere = np.roll(image[1], (11, 18), (1, 2))
    assert judge.against(case, elsewhere) == "outside"
    finer = ImageReader(replace(case.example, spacing_mm=(1.0, 0.5, 0.5)), Classes((1,)), 1)
    assert judge.against(finer, elsewhere) is None, "it shows another part: places mean nothing"


def test_single_labelled_slices_say_nothing_of_where_objects_end(tmp_path: Path):
    one_slice = []
    for seed in range(4):
        known = np.full(VOLUME, UNLABELLED, np.uint8)
        known[5] = organ(seed)[1][5]
        one_slice.append(reader(tmp_path, seed + 1, organ(seed), known=known))
    image = organ(20)
    moved = np.roll(image[1], (11, 18), (1, 2))
    assert sense(tmp_path, one_slice).against(reader(tmp_path, 20, image), moved) is None


def test_objects_of_a_brightness_that_nobody_drew_are_withheld(tmp_path: Path):
    cases, image = project(tmp_path, cells, 4), cells(20)
    dark = np.zeros_like(image[1])
    dark[0, ::2, ::3] = 1
    dark[image[1] > 0] = 0
    assert sense(tmp_path, cases).against(reader(tmp_path, 20, image), dark) == "outside"


def test_what_is_kept_beside_a_model_judges_alike(tmp_path: Path):
    for make in (cells, organ):
        cases, image = project(tmp_path, make, 4), make(20)
        one_slice = reader(tmp_path, 9, make(9), known=np.where(np.indices(image[1].shape)[0] == 5, 1, 255))
        case = reader(tmp_path, 20, image)
        for labelled in (cases, [*cases, one_slice], []):
            guards = sense(tmp_path, labelled).guards
            save_guards(tmp_path, guards)
            again = read_guards(tmp_path)
            assert again is not None
            for proposed in (image[1], np.ones_like(image[1]), np.roll(image[1], (11, 18), (1, 2))):
                assert again.against(case, proposed) == guards.against(case, proposed)
    save_guards(tmp_path, LabelGuards(guards.drawn, learnt=False))
    assert (again := read_guards(tmp_path)) is not None and again.against(case, image[1]) == "unlearnt"


def test_tiny_images_are_judged_like_all_others(tmp_path: Path):
    cases = project(tmp_path, cells, 4)
    for number, shape in enumerate(((1, 1), (1, 40), (40, 1), (8, 8)), start=20):
        pixels = np.full((1, *shape), 90, np.uint8)
        case = reader(tmp_path, number, (pixels, np.zeros_like(pixels)))
        sense(tmp_path, cases).against(case, np.zeros_like(pixels))


def test_every_reason_has_a_sentence():
    assert set(WITHHELD) == set(get_args(Reason))
