"""A proposal that is corrected by labels: what people said holds, errors near it are mended, the rest stays."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

from learners.propagate import LabelledSlice, PropagationCancelled, PropagationInput, RunControl, fill
from learners.propagate.fused import IMPLIED, Prior, fuse
from learners.propagate.labels_alone import labels_suffice, without
from storage.arrays import UNLABELLED, plane

SHAPE, SPACING = (20, 31, 43), (2.0, 1.0, 0.9)
WORST = 0.02  # of Dice: what no correct slice may cost


def phantom(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Two off-centre ellipsoids of different brightness in noise, and their truth."""
    grid, truth = np.indices(SHAPE), np.zeros(SHAPE, np.uint8)
    for value, middle, radius in (
        (1, (0.4, 0.45, 0.3), (0.3, 0.28, 0.18)),
        (2, (0.6, 0.55, 0.7), (0.25, 0.3, 0.16)),
    ):
        parts = [(g / n - m) / r for g, n, m, r in zip(grid, SHAPE, middle, radius)]
        truth[sum(part**2 for part in parts) < 1] = value
    noise = np.random.default_rng(seed).normal(0, 9, SHAPE)
    image = gaussian_filter(np.array([60.0, 100.0, 140.0])[truth], 0.5) + noise
    return image.astype(np.float32), truth


def bent(truth: NDArray[np.uint8], seed: int, voxels: float = 2.5) -> NDArray[np.uint8]:
    """The truth as an atlas would have it: bent smoothly by so many voxels."""
    rng = np.random.default_rng(seed)
    field = np.stack([gaussian_filter(rng.normal(size=truth.shape), 5) for _ in range(3)])
    field *= voxels / np.abs(field[:, truth > 0]).mean()
    return map_coordinates(truth, np.indices(truth.shape) + field, order=0, mode="nearest")


def prior(classes: NDArray[np.uint8], trust: float = 0.8) -> Prior:
    return Prior(classes, np.full(classes.shape, 190, np.uint8), trust)


def case_of(
    truth: NDArray[np.uint8], image: NDArray[np.float32], at: list[tuple[int, int]], complete: bool = True
) -> PropagationInput:
    """What is known once somebody drew the truth on these (axis, index) slices."""
    known, slices = np.full(truth.shape, UNLABELLED, np.uint8), []
    for axis, index in at:
        cut, drawn = plane(known, axis, index), plane(truth, axis, index)
        cut[...] = drawn if complete else np.where(drawn > 0, drawn, cut)
        slices.append(LabelledSlice(axis, index, complete, tuple(int(v) for v in np.unique(drawn) if v)))
    return PropagationInput(image, known, tuple(slices), SPACING)


def dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], value: int) -> float:
    a, b = found == value, truth == value
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def mean_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    return (dice(found, truth, 1) + dice(found, truth, 2)) / 2


def proposals(truth: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """As an atlas, a model or a person in haste might have them."""
    missing, hole, spill = truth.copy(), truth.copy(), truth.copy()
    missing[truth == 2] = 0
    hole[6:11, 10:17, 10:16] = 0
    spill[5:12, 2:12, 4:14] = 1
    return {
        "bent a little": bent(truth, 1, 1.2),
        "bent": bent(truth, 1),
        "bent much": bent(truth, 2, 4.0),
        "shifted": np.roll(truth, (1, 3, -2), (0, 1, 2)),
        "a class missing": missing,
        "a hole": hole,
        "a spill": spill,
    }


def test_no_correct_slice_makes_a_proposal_worse():
    changes = []
    image, truth = phantom()
    for classes in proposals(truth).values():
        for places in ([(0, 8), (1, 14), (2, 30)], [(2, 13), (0, 12), (1, 8)], [(1, 17), (0, 5), (0, 14)]):
            before = mean_dice(classes, truth)
            for count in range(1, len(places) + 1):
                fused = fuse(case_of(truth, image, places[:count]), prior(classes))
                changes.append(mean_dice(fused.classes, truth) - before)
                before = mean_dice(fused.classes, truth)
    assert np.mean(changes) > 0.02 and min(changes) > -WORST


def test_a_correct_slice_mends_more_than_itself():
    image, truth = phantom()
    case = case_of(truth, image, [(0, 10)])
    for name, classes in proposals(truth).items():
        mended = fuse(case, prior(classes)).classes
        others = np.arange(SHAPE[0]) != 10
        wrong_before = (classes != truth)[others].sum()
        assert (mended != truth)[others].sum() < wrong_before, name


def test_what_people_said_holds_with_full_confidence():
    image, truth = phantom()
    case = case_of(np.roll(truth, 3, 1), image, [(0, 8), (2, 13)])  # whether or not the image agrees
    fused = fuse(case, prior(bent(truth, 0)))
    known = case.known != UNLABELLED
    assert (fused.classes[known] == case.known[known]).all() and (fused.confidence[known] == 255).all()


def test_a_class_that_is_not_on_the_slice_keeps_its_proposal():
    image, truth = phantom()
    index = 3
    assert set(np.unique(truth[index])) == {0, 1}
    classes = bent(truth, 3, 1.5)
    classes[index][classes[index] == 2] = 0
    case = case_of(truth, image, [(0, index)])
    fused = fuse(case, prior(classes)).classes
    assert dice(fused, truth, 2) >= dice(classes, truth, 2) - 1e-9 > 0.7
    assert dice(fill("random_walker", case).classes, truth, 2) == 0, "as it was without a proposal"


def test_a_class_that_is_not_drawn_yet_on_an_open_slice_keeps_its_proposal_there():
    image, truth = phantom()
    index = 12
    classes = truth.copy()
    classes[:, :, 12:][truth[:, :, 12:] == 1] = (
        2  # the second class reaches into the first, as atlases have it
    )
    known = np.full(SHAPE, UNLABELLED, np.uint8)
    known[index][truth[index] == 1] = 1
    first = PropagationInput(image, known, (LabelledSlice(0, index, False, (1,)),), SPACING)
    fused = fuse(first, prior(classes)).classes
    to_come = (classes[index] == 2) & (known[index] == UNLABELLED)
    assert to_come.any() and (fused[index][to_come] == 2).all()
    assert dice(fused, truth, 2) >= dice(classes, truth, 2)
    said = replace(first, slices=(LabelledSlice(0, index, True, (1,)),), known=known.copy())
    said.known[index][said.known[index] == UNLABELLED] = 0
    assert not (fuse(said, prior(classes)).classes[index] == 2).any(), "it is complete: nothing more is there"


def test_far_from_a_contradiction_nothing_changes_by_a_bit():
    image, truth = phantom()
    classes, confidence = bent(truth, 4), np.random.default_rng(0).integers(1, 255, SHAPE).astype(np.uint8)
    wrong = truth.copy()
    wrong[4, 12:15, 11:14] = 0  # nine voxels of one object
    case = case_of(truth, image, [(0, 4)])
    start = np.where(np.arange(SHAPE[0])[:, None, None] == 4, wrong, classes).astype(np.uint8)
    fused = fuse(case, Prior(start, confidence))
    near = binary_dilation(wrong != truth, iterations=8)
    rest = ~near & (case.known == UNLABELLED)
    assert (fused.classes[rest] == start[rest]).all() and (fused.confidence[rest] == confidence[rest]).all()
    assert (start != truth)[rest].any(), "there was something wrong that the label says nothing about"


def test_labels_that_agree_change_nothing_at_all():
    image, truth = phantom()
    classes = bent(truth, 5)
    start = prior(np.where(np.arange(SHAPE[1])[None, :, None] == 12, truth, classes).astype(np.uint8))
    fused = fuse(case_of(truth, image, [(1, 12)]), start)
    assert (fused.classes == start.classes).all()
    rest = np.arange(SHAPE[1]) != 12
    assert (fused.confidence[:, rest] == start.confidence[:, rest]).all()


def test_the_same_labels_twice_change_nothing_and_every_run_is_the_same():
    image, truth = phantom()
    case, start = case_of(truth, image, [(0, 8), (1, 14)]), prior(bent(truth, 6))
    once, again = fuse(case, start), fuse(case, start)
    kept = (once.classes == start.classes) & (case.known == UNLABELLED)
    assert (once.confidence[kept] == start.confidence[kept]).all(), "also near a correction"
    assert (once.classes == again.classes).all() and (once.confidence == again.confidence).all()
    twice = fuse(case, Prior(once.classes, once.confidence))
    assert (twice.classes == once.classes).all() and (twice.confidence == once.confidence).all()


def test_a_proposal_that_is_trusted_less_is_corrected_further():
    image, truth = phantom()
    classes, case = bent(truth, 7, 3.0), case_of(truth, image, [(0, 8)])
    doubted, trusted = (fuse(case, prior(classes, trust)).classes != classes for trust in (0.2, 0.95))
    assert doubted.sum() > trusted.sum() and (doubted.sum(), trusted.sum()) > (0, 0)


def test_the_correction_stops_at_an_edge_of_the_image():
    """The proposal runs over the upper half of a box; a label takes it off there on one slice."""
    truth, shape = np.zeros((14, 25, 32), np.uint8), (14, 25, 32)
    truth[2:12, 12:20, 6:24] = 1
    spill = truth.copy()
    spill[2:12, 6:12, 6:24] = 1
    image = 50 + 80.0 * truth + np.random.default_rng(0).normal(0, 5, shape)
    case = replace(case_of(truth, image.astype(np.float32), [(0, 6)]), spacing_mm=(1.0, 1.0, 1.0))
    fused = fuse(case, prior(spill)).classes
    beside = [5, 7]
    assert (fused[beside] == truth[beside]).mean() > 0.99
    assert (fused[beside, 12:20, 6:24] == 1).all(), "what the image shows beyond the edge stays"


def test_on_an_open_slice_proposed_objects_that_nobody_touched_stay():
    image, truth = phantom()
    shown = [int(v) for v in np.unique(truth[8]) if v]
    assert shown == [1, 2]
    only_one = np.where(truth == 1, truth, 0).astype(np.uint8)
    case = case_of(only_one, image, [(0, 8)], complete=False)
    spilt = truth.copy()
    spilt[8, 4:10, 8:18] = 1  # touches the object that is drawn
    fused = fuse(case, prior(spilt))
    assert (fused.classes[8][truth[8] == 2] == 2).all(), "the second object is still proposed"
    mended = (spilt != truth) & (truth == 0)
    assert (fused.classes[mended] == 0).mean() > 0.7 and (fused.confidence[mended] <= IMPLIED).all()


def test_in_a_picture_only_what_is_said_counts():
    """A picture shows many objects, and whoever draws one says nothing about those beside it."""
    truth = np.zeros((1, 40, 60), np.uint8)
    for row, column in ((8, 8), (8, 20), (26, 30), (25, 50)):
        truth[0, row : row + 8, column : column + 9] = 1
    image = (40 + 90.0 * truth + np.random.default_rng(1).normal(0, 4, truth.shape)).astype(np.float32)
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    known[0, 8:16, 8:17] = 1
    case = PropagationInput(image, known, (LabelledSlice(0, 0, False, (1,)),))
    classes = truth.copy()
    classes[0, 8:13, 8:17] = 0  # half of the first object is missing
    fused = fuse(case, prior(classes)).classes
    assert (fused == truth).mean() > 0.995 and (fused[0, :, 18:] == truth[0, :, 18:]).all()


def test_where_nothing_was_proposed_nothing_is_unless_a_label_reaches_there():
    image, truth = phantom()
    nothing = Prior(np.full(SHAPE, UNLABELLED, np.uint8), np.zeros(SHAPE, np.uint8))
    fused = fuse(case_of(truth, image, [(0, 8)]), nothing).classes
    assert (fused[16:] == UNLABELLED).all()
    beside = fused[[7, 9]]
    assert dice(np.where(beside == UNLABELLED, 0, beside), truth[[7, 9]], 1) > 0.8


def test_it_stops_when_asked_and_refuses_another_volumes_proposal():
    image, truth = phantom()
    case = case_of(truth, image, [(0, 8)])
    with pytest.raises(PropagationCancelled):
        fuse(case, prior(bent(truth, 0)), RunControl(cancelled=lambda: True))
    with pytest.raises(ValueError, match="propose it anew"):
        fuse(case, prior(truth[:-1]))


def test_many_labels_take_over_from_a_poor_proposal_and_not_from_a_good_one():
    image, truth = phantom()
    case = case_of(truth, image, [(0, 4), (0, 9), (0, 14), (1, 14), (2, 14)])
    poor, good = prior(bent(truth, 2, 8.0), 0.3), prior(truth, 0.95)
    alone = partial(fill, "random_walker")
    found = {
        (start is poor, before): labels_suffice(case, start, alone, RunControl(), before=before)
        for start in (poor, good)
        for before in (False, True)
    }
    assert found[True, False] and found[True, True]
    assert not found[False, False] and not found[False, True]
    few = case_of(truth, image, [(0, 4), (0, 9)])
    for before in (False, True):
        held = labels_suffice(few, poor, alone, RunControl(), before=before)
        assert held == before, "two slices judge nothing, and the last answer holds"
        held = labels_suffice(case, poor, alone, RunControl(), before=before, judges=())
        assert held == before, "slices that the proposal was learned from judge nothing"
    late = RunControl(deadline=0.0)
    assert labels_suffice(case, good, alone, late, before=True), "without time the last answer holds"


def test_a_slice_that_is_left_out_is_known_only_where_others_cross_it():
    image, truth = phantom()
    left = without(case_of(truth, image, [(0, 8), (1, 14)]), LabelledSlice(0, 8, True, (1, 2)))
    crossing = np.zeros(SHAPE, np.bool_)
    crossing[:, 14] = True
    assert ((left.known != UNLABELLED) == crossing).all() and len(left.slices) == 1
