"""Laws that every propagator keeps, and what each is good for."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from learners.propagate import (
    PROPAGATORS,
    FilledVolume,
    LabelledSlice,
    PropagationCancelled,
    PropagationInput,
    RunControl,
    fill,
    fill_with,
)
from learners.propagate import intensity_model as intensity
from learners.propagate.contract import PropagationResult, grey
from learners.propagate.distances import signed_distance
from learners.propagate.prompted import prompted
from learners.propagate.random_walker import ladder, normalised
from learners.propagate.region import cropped, region_of_interest, with_surroundings
from learners.propagate.voxel_graph import Edges, solve, system_of
from models import GIVEN, PromptChoice
from models.graphcut.model import GraphCut
from storage.arrays import UNLABELLED, plane

NAMES = tuple(name for name, entry in PROPAGATORS.items() if not entry.weights)
QUICK = ("random_walker", "shape", "flow")
ONE_AXIS = ("prompted", "demons")  # these take their time: one plane is enough
SHAPE = (13, 20, 26)
FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def scene(
    shape: tuple[int, int, int] = SHAPE, seed: int = 0, spacing: tuple[float, float, float] = (1.5, 1.0, 0.8)
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Two touching, off-centre blobs of different brightness in noise, and their truth."""
    z, y, x = (np.arange(n).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(shape))
    reach = min(n * mm for n, mm in zip(shape, spacing)) * 0.36
    middle = [0.45 * shape[0] * spacing[0], 0.4 * shape[1] * spacing[1], 0.35 * shape[2] * spacing[2]]
    away = [(axis * mm - m) ** 2 for axis, mm, m in zip((z, y, x), spacing, middle)]
    truth = (away[0] + away[1] + away[2] < reach**2).astype(np.uint8)
    beside = away[0] + away[1] + (x * spacing[2] - middle[2] - 1.4 * reach) ** 2
    truth[(beside < (0.75 * reach) ** 2) & (truth == 0)] = 2
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    return (np.array([40, 110, 170])[truth] + noise).astype(np.float32), truth


def labelled(
    image: NDArray[np.float32],
    truth: NDArray[np.uint8],
    at: list[tuple[int, int]],
    *,
    complete: bool = True,
    spacing: tuple[float, float, float] = (1.5, 1.0, 0.8),
) -> PropagationInput:
    """The case of a person who drew the truth on these (axis, index) slices."""
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    slices = []
    for axis, index in at:
        cut, drawn = plane(known, axis, index), plane(truth, axis, index)
        cut[...] = drawn if complete else np.where(drawn > 0, drawn, cut)
        slices.append(LabelledSlice(axis, index, complete, tuple(int(v) for v in np.unique(drawn) if v)))
    return PropagationInput(image, known, tuple(slices), spacing)


def dice(a: NDArray[np.uint8], b: NDArray[np.uint8], value: int = 1) -> float:
    return float(2 * ((a == value) & (b == value)).sum() / max(1, (a == value).sum() + (b == value).sum()))


def nearest(case: PropagationInput) -> NDArray[np.uint8]:
    """Every voxel as on the nearest labelled slice: what a propagator has to beat."""
    out, near = np.zeros(case.shape, np.uint8), np.full(case.shape, np.inf)
    for s in case.slices:
        mm = np.abs(np.arange(case.shape[s.axis]) - s.index) * case.spacing_mm[s.axis]
        mm = np.broadcast_to(mm.reshape([-1 if a == s.axis else 1 for a in range(3)]), case.shape)
        shown = np.broadcast_to(np.expand_dims(plane(case.known, s.axis, s.index), s.axis), case.shape)
        out[mm < near] = shown[mm < near]
        near = np.minimum(near, mm)
    out[out == UNLABELLED] = 0
    return out


@pytest.mark.parametrize("name", NAMES)
def test_known_voxels_come_back_as_they_were_given_with_full_confidence(name: str):
    case = labelled(*scene(), [(0, 6)] if name in ONE_AXIS else [(0, 6), (1, 8), (2, 9)], complete=False)
    filled = fill(name, case)
    known = case.known != UNLABELLED
    assert np.array_equal(filled.classes[known], case.known[known])
    assert (filled.confidence[known] == 255).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_voxel_gets_background_or_a_class_that_somebody_drew(name: str):
    case = labelled(*scene(), [(0, 5)] if name in ONE_AXIS else [(0, 5), (1, 9)])
    filled = fill(name, case)
    assert filled.classes.shape == filled.confidence.shape == SHAPE
    assert set(np.unique(filled.classes)) == {0, 1, 2}
    assert filled.finished and filled.seconds > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_ball_is_found_from_three_parallel_slices(name: str):
    image, truth = scene()
    case = labelled(image, truth, [(0, 3), (0, 6), (0, 9)])
    filled = fill(name, case)
    assert dice(filled.classes, truth) > max(0.8, dice(nearest(case), truth))


@pytest.mark.parametrize("name", ["random_walker", "flow", "demons"])
def test_an_outline_follows_what_moves_from_slice_to_slice(name: str):
    """A pattern that wanders by a pixel a slice; the object in it is told by nothing else."""
    rng = np.random.default_rng(0)
    pattern = 100 + 60 * gaussian_filter(rng.normal(0, 1, (40, 60)), 1.5)
    image = np.stack([np.roll(pattern, k, 1) for k in range(20)]) + rng.normal(0, 1, (20, 40, 60))
    z, y, x = np.ogrid[:20, :40, :60]
    truth = ((y - 20) ** 2 + (x - 15 - z) ** 2 < 64).astype(np.uint8)
    case = labelled(image.astype(np.float32), truth, [(0, 2)], spacing=(1.0, 1.0, 1.0))
    assert dice(fill(name, case).classes, truth) > 0.6 > dice(nearest(case), truth) + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_is_absent_on_a_complete_slice_is_absent_there(name: str):
    image, truth = scene()
    truth[7:] = 0
    case = labelled(image, truth, [(0, 5), (0, 11)])
    filled = fill(name, case)
    assert not filled.classes[11].any() and filled.classes[5].any()


@pytest.mark.parametrize("noise", [0, 30])
def test_a_slice_beyond_the_object_leaves_it_long(noise: float):
    """Somebody looks where it ends and says that it is gone there: that is no reason to end it in the middle."""
    image, truth = scene()
    image = image + np.random.default_rng(1).normal(0, noise, SHAPE).astype(np.float32)
    one, both = (fill("random_walker", labelled(image, truth, at)) for at in ([(0, 3)], [(0, 3), (0, 11)]))
    assert not truth[11].any() and not both.classes[11].any()
    assert dice(both.classes, truth) > dice(one.classes, truth) - 0.12


def test_beyond_a_slice_that_says_gone_nothing_is_found():
    """Something as bright as the object lies further on; it is not the object, somebody said so in between."""
    image, truth = scene()
    image = np.concatenate([image, image[::-1]])
    truth = np.concatenate([truth, np.zeros_like(truth)])
    filled = fill("random_walker", labelled(image, truth, [(0, 4), (0, 12)]))
    assert not filled.classes[12:].any() and dice(filled.classes, truth) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_one_labelled_slice_is_enough_to_go_on(name: str):
    image, truth = scene()
    filled = fill(name, labelled(image, truth, [(0, 6)]))
    assert dice(filled.classes, truth) > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_a_volume_of_one_slice_and_one_voxel_wide_axes_work(name: str):
    known = np.full((1, 9, 12), UNLABELLED, np.uint8)
    known[0, 4, 3:6], known[0, 0, :] = 3, 0
    case = PropagationInput(np.zeros(known.shape, np.float32), known, (LabelledSlice(0, 0),))
    assert set(np.unique(fill(name, case).classes)) <= {0, 3}


@pytest.mark.parametrize("name", QUICK)
@given(flips=st.lists(st.booleans(), min_size=3, max_size=3), seed=st.integers(0, 99))
@FEW
def test_a_mirrored_volume_gives_the_mirrored_fill(name: str, flips: list[bool], seed: int):
    image, truth = scene(seed=seed)
    axes = tuple(a for a, yes in enumerate(flips) if yes)
    case = labelled(image, truth, [(0, 4), (0, 8), (1, 8)])
    slices = tuple(
        replace(s, index=SHAPE[s.axis] - 1 - s.index) if s.axis in axes else s for s in case.slices
    )
    mirrored = PropagationInput(
        np.flip(image, axes).copy(), np.flip(case.known, axes).copy(), slices, case.spacing_mm
    )
    same = np.flip(fill(name, mirrored).classes, axes) == fill(name, case).classes
    assert same.mean() > (0.999 if name != "flow" else 0.97)


@pytest.mark.parametrize("name", QUICK)
@given(order=st.permutations(range(3)), seed=st.integers(0, 99))
@FEW
def test_the_order_of_the_axes_does_not_matter(name: str, order: list[int], seed: int):
    image, truth = scene(seed=seed)
    case = labelled(image, truth, [(0, 4), (0, 8), (1, 8)])
    slices = tuple(replace(s, axis=order.index(s.axis)) for s in case.slices)
    z, y, x = (case.spacing_mm[a] for a in order)
    turned = PropagationInput(
        image.transpose(order).copy(), case.known.transpose(order).copy(), slices, (z, y, x)
    )
    back = fill(name, turned).classes.transpose(np.argsort(order))
    assert (back == fill(name, case).classes).mean() > (0.995 if name != "flow" else 0.97)


@pytest.mark.parametrize("name", QUICK)
@given(
    shape=st.tuples(*[st.integers(2, 14)] * 3),
    values=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 13), st.integers(1, 4)), min_size=1, max_size=4
    ),
    spacing=st.tuples(*[st.floats(0.2, 6)] * 3),
    complete=st.booleans(),
)
@example(  # one solved exactly: its residual is nothing, which the next direction was divided by
    shape=(2, 2, 2), values=[(0, 0, 1), (1, 0, 1), (2, 0, 1)], spacing=(1.0, 1.0, 1.0), complete=False
)
@settings(parent=FEW, max_examples=25)
def test_whatever_is_drawn_the_fill_keeps_its_laws(name: str, shape, values, spacing, complete):
    known = np.full(shape, UNLABELLED, np.uint8)
    slices = set()
    rng = np.random.default_rng(len(values))
    for axis, index, value in values:
        index %= shape[axis]
        cut = plane(known, axis, index)
        cut[rng.random(cut.shape) < 0.5] = value
        slices.add(LabelledSlice(axis, index, complete))
    if not (known != UNLABELLED).any():
        return
    case = PropagationInput(rng.normal(0, 9, shape).astype(np.float32), known, tuple(slices), spacing)
    filled = fill(name, case)
    said = known != UNLABELLED
    assert np.array_equal(filled.classes[said], known[said])
    assert set(np.unique(filled.classes)) <= {0, *case.classes}


@pytest.mark.parametrize("name", NAMES)
def test_a_cancelled_fill_stops_soon(name: str):
    case = labelled(
        *scene((40, 60, 70), spacing=(1.0, 1.0, 1.0)), [(0, 20), (0, 10)], spacing=(1.0, 1.0, 1.0)
    )
    stop = threading.Event()
    stop.set()
    with pytest.raises(PropagationCancelled):
        fill(name, case, RunControl(cancelled=stop.is_set))


@pytest.mark.parametrize("name", NAMES)
def test_at_the_deadline_there_is_the_best_so_far(name: str):
    case = labelled(*scene(), [(0, 4), (0, 8)])
    filled = fill(name, case, RunControl(deadline=time.monotonic() - 1))
    known = case.known != UNLABELLED
    assert np.array_equal(filled.classes[known], case.known[known])
    assert filled.finished == (name == "shape")


def test_a_second_run_starts_from_the_first_and_ends_at_the_same_place():
    image, truth = scene()
    first = fill("random_walker", labelled(image, truth, [(0, 4), (0, 8)]))
    more = labelled(image, truth, [(0, 4), (0, 8), (1, 8)])
    warm, cold = fill("random_walker", more, RunControl(previous=first)), fill("random_walker", more)
    assert (warm.classes == cold.classes).mean() > 0.995


def test_nothing_drawn_is_said_in_words():
    empty = PropagationInput(
        np.zeros(SHAPE), np.full(SHAPE, UNLABELLED, np.uint8), (LabelledSlice(0, 1, True),)
    )
    with pytest.raises(ValueError, match="label one on any slice first"):
        fill("shape", empty)
    with pytest.raises(LookupError, match="there are: random_walker"):
        fill("sorcery", empty)


def test_between_two_discs_the_outline_is_the_disc_between():
    rows, columns = np.ogrid[:41, :41]
    known = np.full((11, 41, 41), UNLABELLED, np.uint8)
    for z, radius in ((0, 6), (10, 14)):
        known[z] = (rows - 20) ** 2 + (columns - 20) ** 2 < radius**2
    case = PropagationInput(
        np.zeros(known.shape), known, (LabelledSlice(0, 0, True), LabelledSlice(0, 10, True))
    )
    between = fill("shape", case).classes
    assert np.array_equal(between[0], known[0]) and np.array_equal(between[10], known[10])
    radii = np.sqrt(between.sum((1, 2)) / np.pi)
    assert np.abs(radii - np.linspace(6, 14, 11)).max() < 1.2


def test_two_orthogonal_slices_of_a_ball_make_a_ball():
    z, y, x = np.ogrid[:31, :31, :31]
    truth = ((z - 15) ** 2 + (y - 15) ** 2 + (x - 15) ** 2 < 10**2).astype(np.uint8)
    case = labelled(np.zeros(truth.shape, np.float32), truth, [(0, 15), (1, 15)], spacing=(1.0, 1.0, 1.0))
    assert dice(fill("shape", case).classes, truth) > 0.95


def test_distances_are_in_mm():
    mask = np.zeros((9, 9), bool)
    mask[4, 2:7] = True
    far = signed_distance(mask, (3.0, 1.0))
    assert far[0, 4] == pytest.approx(0.5 - 4 * 3) and far[4, 0] == pytest.approx(0.5 - 2) and far[4, 4] > 0
    assert (signed_distance(np.zeros((3, 4), bool), (1, 1)) < 0).all()


def test_on_an_even_chain_the_walker_finds_the_straight_line():
    image = np.zeros((1, 1, 11), np.float32)
    free = np.ones((1, 1, 11), bool)
    free[..., [0, 10]] = False
    ends = np.zeros((11, 1), np.float32)
    ends[10] = 1
    system, pull = system_of(free, Edges(image, (1.0, 1.0, 1.0), 2.0), lambda places: ends[places])
    x, finished, _ = solve(system, pull, np.zeros((9, 1), np.float32), RunControl())
    assert finished and np.allclose(x[:, 0], np.arange(1, 10) / 10, atol=0.01)


@pytest.mark.parametrize("name", ["random_walker", "walks"])
def test_an_edge_without_noise_is_met_exactly(name: str):
    truth = np.zeros((9, 20, 24), np.uint8)
    truth[:, :, 13:] = 1
    case = labelled(truth * np.float32(100), truth, [(0, 4)])
    assert (fill(name, case).classes == truth).mean() > 0.99


def test_the_intensities_help_where_outlines_alone_mislead():
    truth = np.zeros((24, 30, 34), np.uint8)
    for z in range(24):
        truth[z, 8:18, 6 + abs(z - 12) : 16 + abs(z - 12)] = 1  # a bent bar
    image = (truth * 60 + np.random.default_rng(0).normal(0, 12, truth.shape)).astype(np.float32)
    case = labelled(image, truth, [(0, 1), (0, 22)], spacing=(1.0, 1.0, 1.0))
    walker, shape = (dice(fill(n, case).classes, truth) for n in ("random_walker", "shape"))
    assert walker > shape + 0.1


def test_an_object_drawn_on_an_unfinished_slice_has_background_around_it():
    image, truth = scene()
    one = np.where(truth == 1, 1, 0).astype(np.uint8)
    case = labelled(image, one, [(0, 5)], complete=False)
    around = with_surroundings(case).known[5]
    assert (around[one[5] == 1] == 1).all() and (around == 0).sum() > 20
    filled = fill("random_walker", case)
    assert filled.confidence[5][one[5] == 0].max() <= 242  # concluded, not said


def test_where_a_class_that_is_missing_on_the_slice_may_lie_nothing_is_concluded():
    image, truth = scene()
    case = labelled(image, np.where(truth == 1, 1, 0).astype(np.uint8), [(0, 5)], complete=False)
    known = case.known.copy()
    known[7][truth[7] == 2] = 2
    both = replace(case, known=known, slices=(*case.slices, LabelledSlice(0, 7, False, (2,))))
    around = with_surroundings(both).known[5]
    assert (around[truth[7] == 2] == UNLABELLED).mean() > 0.5


def test_a_class_drawn_far_from_a_slice_does_not_keep_its_surroundings_open():
    known = np.full((60, 24, 24), UNLABELLED, np.uint8)
    known[10, 8:12, 8:12], known[50, 4:20, 4:20] = 1, 2
    slices = (LabelledSlice(0, 10, False, (1,)), LabelledSlice(0, 50, False, (2,)))
    around = with_surroundings(PropagationInput(np.zeros(known.shape, np.float32), known, slices)).known[10]
    assert (around[5:15, 5:15] != UNLABELLED).all() and around[0, 0] == UNLABELLED


def test_a_line_that_another_plane_left_on_a_slice_is_not_taken_for_an_outline():
    image, truth = scene()
    case = labelled(image, truth, [(1, 8)])
    crossing = replace(case, slices=(*case.slices, LabelledSlice(0, 6, False, ())))
    assert np.array_equal(fill("shape", crossing).classes, fill("shape", case).classes)


def test_large_volumes_are_worked_on_around_what_was_drawn():
    known = np.full((80, 90, 100), UNLABELLED, np.uint8)
    known[40, 30:40, 50:62] = 1
    case = PropagationInput(np.zeros(known.shape, np.float32), known, (LabelledSlice(0, 40),))
    box = region_of_interest(case)
    part = cropped(case, box)
    assert part.known.size < known.size / 20 and (part.known == 1).sum() == 120
    assert (
        box[0][1] - box[0][0] >= 2 * 12
    )  # along the axis that no slice shows it reaches as far as it is wide
    assert plane(part.known, 0, part.slices[0].index).min() == 1


def coarse_above(monkeypatch: pytest.MonkeyPatch, voxels: int) -> None:
    """Larger grids are not solved as a whole, whatever is lost on coarser ones."""
    for name in ("WHOLE", "WHOLE_THIN"):
        monkeypatch.setattr(f"learners.propagate.random_walker.{name}", voxels)


def folded(shape: tuple[int, int, int], thick: float, seed: int = 0) -> tuple[NDArray, NDArray[np.uint8]]:
    """A wavy sheet of so many voxels (class 1) around a core (class 2), as a cortex lies on white matter, in noise."""
    z, y, x = np.indices(shape)
    middle = [0.5 * n for n in shape]
    away = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    radius = 0.32 * min(shape) + 2 * np.sin(x / 4) + 2 * np.cos(y / 5)
    truth = ((away < radius + thick).astype(np.uint8)) + (away < radius)
    noise = np.random.default_rng(seed).normal(0, 8, shape)
    return (np.array([40, 100, 160])[truth] + noise).astype(np.float32), truth


def test_a_grid_that_loses_what_was_drawn_is_not_the_coarsest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learners.propagate.random_walker.WHOLE", 6000)
    for thick, levels in ((1, 1), (9, 2)):
        image, truth = folded((30, 40, 40), thick)
        assert len(ladder(labelled(image, truth, [(0, 15)], spacing=(1.0, 1.0, 1.0)))) == levels


def test_what_the_coarse_grid_blurs_is_found_again_on_the_finer_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learners.propagate.random_walker.WHOLE", 4000)
    monkeypatch.setattr("learners.propagate.random_walker.WHOLE_THIN", 8000)
    image, truth = folded((30, 40, 40), 1)
    case = labelled(image, truth, [(0, 11), (0, 19)], spacing=(1.0, 1.0, 1.0))
    assert len(ladder(case)) == 2
    with_brightness = fill("random_walker", case)
    monkeypatch.setattr("learners.propagate.random_walker._sharper", lambda small, step, free, guess: guess)
    without = fill("random_walker", case)
    assert dice(with_brightness.classes, truth) > dice(without.classes, truth) + 0.05


@pytest.mark.parametrize("noise", [8, 24, 32])
def test_edges_of_a_thin_sheet_are_not_smoothed_away(noise: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learners.propagate.random_walker.WHOLE", 4000)
    monkeypatch.setattr("learners.propagate.random_walker.WHOLE_THIN", 8000)
    image, truth = folded((30, 40, 40), 1)
    image += np.random.default_rng(1).normal(0, np.sqrt(noise**2 - 64), image.shape)
    case = labelled(image, truth, [(0, 11), (0, 19)], spacing=(1.0, 1.0, 1.0))
    crisp = fill("random_walker", case)
    monkeypatch.setattr("learners.propagate.random_walker.SMOOTH_THIN", 0.7)
    monkeypatch.setattr("learners.propagate.random_walker.SHARPNESS_THIN", 2.0)
    assert dice(crisp.classes, truth) > dice(fill("random_walker", case).classes, truth)


def uneven() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A ball with a shell in light that is six times as strong on one side as on the other."""
    z, y, x = np.indices((32, 32, 32))
    away = (z - 16) ** 2 / 2 + (y - 16) ** 2 + (x - 16) ** 2
    truth = (away < 49).astype(np.uint8) + (away < 16)
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    return (np.array([50, 90, 70])[truth] * (1 + 1.4 * (y - 16) / 32) + noise).astype(np.float32), truth


def test_in_uneven_light_a_class_is_known_by_what_it_looks_like_nearby(monkeypatch: pytest.MonkeyPatch):
    image, truth = uneven()
    case = labelled(image, truth, [(0, 12)], spacing=(4.0, 4.0, 4.0))
    nearby = fill("random_walker", case)
    monkeypatch.setattr("learners.propagate.intensity_model.REACHES_MM", ())
    assert dice(nearby.classes, truth) > dice(fill("random_walker", case).classes, truth) + 0.005


@pytest.mark.parametrize("mm", [1e-4, 1e4])
def test_a_volume_much_smaller_or_larger_than_an_organ_has_looks_too(mm: float):
    image, truth = uneven()
    case = labelled(normalised(image), truth, [(0, 12)], spacing=(mm, mm, mm))
    level = intensity.levels(case.image)
    for near, every in zip(
        intensity.local_likelihood_ratio(case, background=True),
        intensity.global_likelihood_ratio(case),
    ):
        assert (
            np.isfinite(near).all()
            and near.min() >= 1 / intensity.MAX_RATIO
            and near.max() <= intensity.MAX_RATIO
        )
        assert np.corrcoef(np.log(near[12]).ravel(), np.log(every[level][12]).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("background", [False, True])
def test_far_from_what_is_known_a_class_looks_as_everywhere(background: bool):
    image, truth = uneven()
    case = labelled(normalised(image), truth, [(0, 12)], spacing=(12.0, 4.0, 4.0))
    level = intensity.levels(case.image)
    for near, every in zip(
        intensity.local_likelihood_ratio(case, background=background),
        intensity.global_likelihood_ratio(case),
    ):
        np.testing.assert_allclose(near[-1], every[level][-1], rtol=1e-5)
        assert np.abs(np.log(near[13] / every[level][13])).max() > 0.3


def test_coarse_to_fine_agrees_with_solving_everywhere(monkeypatch: pytest.MonkeyPatch):
    image, truth = scene((30, 36, 40), spacing=(1.0, 1.0, 1.0))
    case = labelled(image, truth, [(0, 13), (1, 14)], spacing=(1.0, 1.0, 1.0))
    whole = fill("random_walker", case)
    coarse_above(monkeypatch, 6000)
    assert len(ladder(case)) > 1
    steps = fill("random_walker", case)
    assert (steps.classes == whole.classes).mean() > 0.99 and dice(steps.classes, truth) > 0.95


def test_an_object_beside_a_slice_without_it_outlives_the_coarse_grid(monkeypatch: pytest.MonkeyPatch):
    coarse_above(monkeypatch, 6000)
    image, truth = scene((30, 36, 40), spacing=(1.0, 1.0, 1.0))
    truth[13] = 0
    case = labelled(image, truth, [(0, 12), (0, 13)], spacing=(1.0, 1.0, 1.0))
    filled = fill("random_walker", case)
    assert dice(filled.classes[:12], truth[:12]) > 0.7


@settings(FEW, max_examples=20)
@given(places=st.lists(st.tuples(*[st.integers(8, 13)] * 3), min_size=1, max_size=12, unique=True))
def test_classes_of_single_voxels_outlive_the_coarse_grid(
    monkeypatch: pytest.MonkeyPatch, places: list[tuple[int, int, int]]
):
    coarse_above(monkeypatch, 2000)
    known = np.full((24, 24, 24), UNLABELLED, np.uint8)
    known[9:12] = 0
    for value, place in enumerate(places, 1):
        known[place] = value
    case = PropagationInput(
        scene((24, 24, 24))[0], known, tuple(LabelledSlice(0, z, z < 12) for z in range(8, 14))
    )
    filled = fill("random_walker", case)
    assert all(filled.classes[place] == value for value, place in enumerate(places, 1))
    assert filled.finished


def test_any_prompt_model_propagates_its_masks():
    image, truth = scene()
    filled = fill_with(prompted(GraphCut), labelled(image, truth, [(0, 6)]), RunControl())
    assert dice(filled.classes, truth) > 0.7


def test_the_prompt_model_of_the_project_is_asked():
    image, truth = scene()
    case = labelled(image, truth, [(0, 6)])
    given = fill_with(prompted(GraphCut), case, RunControl())
    named = fill("prompted", case, RunControl(prompts=PromptChoice("graphcut")))
    other = fill("prompted", case, RunControl())
    assert np.array_equal(named.classes, given.classes)
    assert not np.array_equal(named.confidence, other.confidence), "without a choice it is the built-in model"
    assert dice(other.classes, truth) > 0.7


def test_a_prompt_model_that_is_not_here_fills_nothing_and_says_so(tmp_path):
    image, truth = scene()
    absent = PromptChoice(GIVEN, tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="mine.pth is not on this machine; choose another propagator"):
        fill("prompted", labelled(image, truth, [(0, 6)]), RunControl(prompts=absent))


def test_colour_counts_by_its_brightness():
    colour = np.zeros((2, 3, 4, 3), np.uint8)
    colour[..., 1] = 100
    assert grey(colour).shape == (2, 3, 4) and grey(colour).max() == pytest.approx(58.7)


def test_progress_rises():
    seen: list[float] = []
    image, truth = scene()
    fill("shape", labelled(image, truth, [(0, 5)]), RunControl(progress=seen.append))
    assert seen == sorted(seen) and len(seen) == 2


def test_a_method_that_is_not_registered_keeps_the_laws_too():
    def nothing(case: PropagationInput, run: RunControl) -> PropagationResult:
        return PropagationResult(np.zeros(case.shape, np.uint8), np.ones(case.shape, np.float32))

    case = labelled(*scene(), [(0, 5)])
    filled = fill_with(nothing, case, RunControl())
    assert isinstance(filled, FilledVolume) and np.array_equal(filled.classes[5], case.known[5])


def test_a_window_keeps_air_and_bone_from_drowning_what_lies_between():
    shape = (14, 40, 44)
    truth = np.zeros(shape, np.uint8)
    truth[:, 14:22, 16:26] = 1
    image = np.random.default_rng(0).normal(40, 15, shape).astype(np.float32)
    image[truth == 1] += 200
    image[:, :, :6], image[:, 34:] = -1000, 3000
    known = np.full(shape, UNLABELLED, np.uint8)
    for k in (1, 12):
        known[k] = truth[k]
    slices = tuple(LabelledSlice(0, k, True) for k in (1, 12))
    dice = [
        _dice(fill("random_walker", PropagationInput(image, known, slices, window=w)).classes, truth)
        for w in (None, (-160, 300))
    ]
    assert dice[1] > 0.995 > dice[0]


def _dice(found, truth) -> float:
    return float(2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + (truth == 1).sum()))
