"""Labels carried from labelled volumes to others by registration."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.learning.project_summary import volumes_look_alike
from learners.choice import ProjectSummary, choose
from learners.methods import registration
from learners.methods.atlas import resized, run
from learners.progress import classes_file, confidence_file
from learners.propagate.next_slice import Volume, next_slice
from learners.spec import Example, Unready
from storage.array_cache import read_arrays
from storage.arrays import UNLABELLED, open_npy, plane
from storage.formats import read, read_labels
from tests.learners.test_learning import example, spec_of

SHAPE = (20, 28, 24)


def body(seed: int, *, shift: float = 0.0, size: float = 1.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two organs in a body, moved and scaled; their brightness is that of other things too."""
    rng = np.random.default_rng(seed)
    z, y, x = (
        np.linspace(-1, 1, n).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(SHAPE)
    )
    truth = np.zeros(SHAPE, np.uint8)
    away = lambda cz, cy, cx: ((z - cz) ** 2 + (y - cy - shift) ** 2 + (x - cx) ** 2) ** 0.5 / size  # noqa: E731
    image = np.where(away(0, 0, 0) < 0.85, 90.0, 20.0)
    for value, at in ((1, (0.1, -0.3, 0.2)), (2, (-0.1, 0.35, -0.2))):
        truth[away(*at) < 0.3] = value
        image[away(*at) < 0.3] = 150
    image[away(0.1, 0.3, 0.45) < 0.2] = 150  # as bright, and nothing
    return (image + rng.normal(0, 6, SHAPE)).clip(0, 255).astype(np.uint8), truth


def dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(
        np.mean([2 * ((a == c) & (b == c)).sum() / ((a == c).sum() + (b == c).sum()) for c in (1, 2)])
    )


def proposed(spec, image_id: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Classes and confidence of an image."""
    paths = classes_file(spec.directory, image_id), confidence_file(spec.directory, image_id)
    return np.array(open_npy(paths[0])), np.array(open_npy(paths[1]))


def test_one_labelled_volume_proposes_both_organs_where_they_moved_to(tmp_path: Path):
    pixels, truth = body(0)
    moved, there = body(1, shift=0.2, size=1.15)
    spec = spec_of(
        tmp_path,
        [example(tmp_path, 1, pixels, truth), example(tmp_path, 2, moved, None)],
        learner="atlas",
        class_ids=(1, 2),
    )
    result = run(spec)
    found, certainty = proposed(spec, 2)
    assert dice(truth, there) < 0.65 and dice(found, there) > 0.85
    assert {s.image_id for s in result.predicted} == {1, 2} and "1 labelled volume over" in result.notes[-1]
    assert certainty[found == there].mean() > certainty[found != there].mean()


def test_the_rim_of_a_moved_volume_is_not_in_doubt_and_nobody_is_led_there(tmp_path: Path):
    pixels, truth = body(0)
    moved = body(1, shift=0.3)[0]
    examples = [example(tmp_path, 1, pixels, truth), example(tmp_path, 2, moved, None)]
    spec = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2))
    run(spec)
    found, certainty = proposed(spec, 2)
    asked = next_slice(Volume(found, certainty))
    assert asked is not None
    assert (plane(found, asked.axis, asked.index) > 0).any(), "an empty slice at the rim says nothing"
    for axis in range(3):
        for rim in (0, -1):
            assert plane(certainty, axis, rim % SHAPE[axis]).mean() > 240


def test_slices_that_are_held_out_of_an_atlas_leave_no_doubt_at_their_place(tmp_path: Path):
    pixels, truth = body(0)
    moved, there = body(1)
    held = tuple((2, index) for index in (3, 18, 19, 20, 21))
    examples = [example(tmp_path, 1, pixels, truth, held=held), example(tmp_path, 2, moved, None)]
    spec = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2))
    run(spec)
    found, certainty = proposed(spec, 2)
    assert min(plane(certainty, 2, index).mean() for index in (3, 19, 20)) > 230
    assert dice(found, there) > 0.85


def test_a_labelled_volume_is_proposed_by_the_others_and_held_out_ones_judge(tmp_path: Path):
    examples = []
    for i in range(1, 4):
        pixels, truth = body(i, shift=0.05 * i)
        wrong = np.where(truth > 0, 3 - truth, 0).astype(np.uint8) if i == 1 else truth
        examples.append(example(tmp_path, i, pixels, wrong, all_held=i == 3))
    spec = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2))
    result = run(spec)
    assert dice(proposed(spec, 1)[0], body(1, shift=0.05)[1]) > 0.85, "its own wrong labels do not count"
    assert result.dice is not None and result.dice < 0.9, "the wrong atlas is noticed on the held-out volume"


def test_a_volume_laid_over_itself_does_not_judge_its_atlas(tmp_path: Path):
    """Its held-out slice is a hole there, so that nothing would be found on it."""
    held = ((0, 9),)
    examples = [example(tmp_path, n, *body(n), held=held) for n in (1, 2)]
    alone = spec_of(tmp_path, examples[:1], learner="atlas", class_ids=(1, 2))
    assert run(alone).dice is None
    together = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2))
    found = run(together).dice
    assert found is not None and found > 0.7, "the other one tells"


def test_where_nothing_resembles_an_atlas_or_nothing_is_known_it_is_not_certain(tmp_path: Path):
    pixels, truth = body(0)
    half = truth.copy()
    half[:, :, :12] = UNLABELLED
    noise = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    other, _ = body(1)
    spec = spec_of(
        tmp_path,
        [
            example(tmp_path, 1, pixels, half),
            example(tmp_path, 2, noise, None),
            example(tmp_path, 3, other, None),
        ],
        learner="atlas",
        class_ids=(1, 2),
    )
    run(spec)
    found, certainty = proposed(spec, 2)
    assert not found.any() and certainty.max() < 255 * 0.6
    _, certainty = proposed(spec, 3)
    assert certainty[:, :, 14:].mean() > 1.3 * certainty[:, :, :10].mean()


@pytest.fixture
def registered(monkeypatch) -> list[int]:
    """One entry for each registration that is really made."""
    made: list[int] = []
    register = registration.register

    def counted(picture: registration.Brightness, other: registration.Brightness) -> registration.Deformation:
        made.append(1)
        return register(picture, other)

    monkeypatch.setattr(registration, "register", counted)
    return made


def volumes(folder: Path) -> list[Example]:
    """Two atlases and a volume without labels."""
    pairs = {i: body(i, shift=0.05 * i) for i in range(1, 4)}
    return [example(folder, i, pixels, truth if i < 3 else None) for i, (pixels, truth) in pairs.items()]


def all_proposed(spec) -> list[NDArray[np.uint8]]:
    return [array for i in range(1, 4) for array in proposed(spec, i)]


def test_a_second_round_registers_nothing_and_proposes_the_same_bits(tmp_path: Path, registered: list[int]):
    examples, seen = volumes(tmp_path), tmp_path / "seen"
    rounds = [
        spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=cache)
        for cache in (seen, seen, None)
    ]
    counts = []
    for spec in rounds:
        run(spec)
        counts.append(len(registered))
    assert counts == [4, 4, 8], "each volume by the others; the second round by what the first one kept"
    first, second, without = (all_proposed(spec) for spec in rounds)
    for one, again, anew in zip(first, second, without, strict=True):
        assert np.array_equal(one, again) and np.array_equal(one, anew)


def test_a_corrected_label_needs_no_registration_and_other_pixels_do(tmp_path: Path, registered: list[int]):
    examples, seen = volumes(tmp_path), tmp_path / "seen"
    run(spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=seen))
    assert len(registered) == 4
    pixels, truth = body(1, shift=0.05)
    examples[0] = example(tmp_path, 1, pixels, np.where(truth == 2, 0, truth).astype(np.uint8))
    fewer = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=seen)
    run(fewer)
    assert len(registered) == 4 and not (proposed(fewer, 2)[0] == 2).any(), "and yet the correction counts"
    examples[2] = example(tmp_path, 3, body(7)[0], None)
    run(spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=seen))
    assert len(registered) == 6, "the volume with other pixels by both atlases, and nothing else"


def test_torn_and_missing_registrations_are_made_again(tmp_path: Path, registered: list[int]):
    examples, seen = volumes(tmp_path), tmp_path / "seen"
    specs = [spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=seen) for _ in range(2)]
    run(specs[0])
    torn, missing, *whole = sorted(seen.glob("way-*.npz"))
    torn.write_bytes(torn.read_bytes()[:-300])
    missing.unlink()
    run(specs[1])
    assert len(registered) == 6 and len(whole) == 2
    assert all(np.array_equal(*pair) for pair in zip(*map(all_proposed, specs), strict=True))
    assert read_arrays(torn) is not None and missing.exists()


def test_registrations_that_the_quota_leaves_no_room_for_are_made_again(
    tmp_path: Path, registered: list[int]
):
    examples, seen = volumes(tmp_path), tmp_path / "seen"
    one = 100_000  # bytes: a registration takes 81 kB here
    for _ in range(2):
        spec = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2), cache=seen, cache_bytes=one)
        run(spec)
    assert len(list(seen.iterdir())) == 1 and 4 < len(registered) <= 8


def test_other_settings_and_the_other_way_round_are_another_registration(monkeypatch):
    a, b = (body(seed)[0].astype(np.float32) for seed in (1, 2))
    keys = {registration.key_of(a, b), registration.key_of(b, a), registration.key_of(a, a)}
    monkeypatch.setattr(registration, "DEMONS_STEPS", 41)
    assert len(keys | {registration.key_of(a, b)}) == 4


def test_pictures_have_no_atlases(tmp_path: Path):
    pixels, truth = (a[:1] for a in body(0))
    with pytest.raises(Unready, match="need a labelled volume"):
        run(spec_of(tmp_path, [example(tmp_path, 1, pixels, truth)], learner="atlas", class_ids=(1, 2)))


def test_the_app_takes_it_while_few_volumes_that_look_alike_are_labelled(tmp_path: Path):
    same = [example(tmp_path, i, body(i, shift=0.05 * i)[0], None).pixels for i in range(1, 4)]
    rng = np.random.default_rng(0)
    others = [example(tmp_path, 10 + i, rng.integers(0, 255, SHAPE, np.uint8), None).pixels for i in range(3)]
    assert (
        volumes_look_alike(tuple(same))
        and not volumes_look_alike(tuple(others))
        and not volumes_look_alike(tuple(same[:1]))
    )
    few = ProjectSummary(20, 20, 3, complete_slices=6, drawn=6, boxes=0, has_gpu=False, dice=None, alike=True)
    assert choose(few).learner == "atlas" and "look alike" in choose(few).why
    many = ProjectSummary(
        40, 40, 30, complete_slices=60, drawn=60, boxes=0, has_gpu=False, dice=None, alike=True
    )
    assert choose(many).learner == "propagated"


def test_real_hippocampi_are_found_from_one_better_than_by_copying(shared_data: Path, tmp_path: Path):
    folder = shared_data / "hippocampus"
    paths = sorted((folder / "images").glob("*.nii.gz"))[:3]
    examples: list[Example] = []
    truths = {}
    for i, path in enumerate(paths, start=1):
        pixels = read(path).pixels
        truths[i] = np.asarray(read_labels(folder / "labels" / path.name)[0])
        examples.append(example(tmp_path, i, pixels, truths[i] if i == 1 else None))
    spec = spec_of(tmp_path, examples, learner="atlas", class_ids=(1, 2))
    run(spec)
    found = np.mean([dice(proposed(spec, i)[0], truths[i]) for i in (2, 3)])
    labels = np.stack([truths[1] == c for c in range(3)]).astype(np.float32)
    copies = {i: np.stack([resized(part, truths[i].shape) for part in labels]).argmax(0) for i in (2, 3)}
    copied = [dice(copy.astype(np.uint8), truths[i]) for i, copy in copies.items()]
    assert found > 0.7 and found > np.mean(copied) + 0.03
