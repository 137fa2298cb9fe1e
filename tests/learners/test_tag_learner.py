"""Masks from tags: the parts of the method as its paper's unit checks say, and that it really learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learners import LEARNERS
from learners.methods.tags.affinity import GRID, at_side, grid_points, responses, transition, walk
from learners.methods.tags.classifier import (
    CHILDREN,
    UNKNOWN,
    ClassifierHead,
    TaggedSlices,
    child_targets,
    load_head,
    loss_of,
    maps_of,
)
from learners.methods.tags.features import CHANNELS
from learners.methods.tags.masks import BOTH, guess_of, nothing_there, prompted
from learners.methods.tags.needs import MIN_SLICES, missing_tags, teachable
from learners.methods.tags.round import HEAD, TagReader, _spots, guessed
from learners.progress import ProgressReport
from learners.rounds import run_round
from learners.spec import Example, RoundSpec, Tag, Unready
from learners.training.data import ImageReader
from learners.training.targets import Classes
from models import PromptChoice
from models.graphcut.model import GraphCut
from storage.arrays import BACKGROUND, UNLABELLED, write_npy

SIDE = 64


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(count, 1, SIDE, SIDE, 3) pictures of bright stripes everywhere and, on every other one, a green disc; masks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pictures, masks = [], []
    for number in range(count):
        grey = 90 + 40 * np.sin(columns / 5 + rng.uniform(0, 6)) + rng.normal(0, 6, (SIDE, SIDE))
        picture = np.repeat(grey[..., None], 3, 2)
        mask = np.zeros((SIDE, SIDE), bool)
        if number % 2 == 0:
            r, c = rng.integers(18, SIDE - 18, 2)
            mask = (rows - r) ** 2 + (columns - c) ** 2 < rng.integers(8, 13) ** 2
            picture[mask] = picture[mask] * 0.2 + np.array([20, 170, 40])
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8)[None])
        masks.append(mask[None])
    return np.array(pictures), np.array(masks)


def examples_of(folder: Path, pictures: np.ndarray, masks: np.ndarray) -> tuple[Example, ...]:
    out = []
    for number, (picture, mask) in enumerate(zip(pictures, masks), start=1):
        path = folder / f"{number}.npy"
        write_npy(path, picture)
        tags = (Tag(0, 0, 1, bool(mask.any())),)
        out.append(Example(number, path, picture.shape[:3], 3, None, tags=tags))
    return tuple(out)


# the walk


def test_the_columns_of_the_transition_sum_to_one():
    answers = np.random.default_rng(0).integers(0, 256, (5, 12, 9)).astype(np.uint8)
    np.testing.assert_allclose(np.asarray(transition(answers).sum(0)).ravel(), 1, rtol=1e-5)


def test_no_step_changes_nothing_and_a_constant_map_becomes_its_row_sums():
    steps = transition(np.random.default_rng(0).integers(0, 256, (5, 12, 9)).astype(np.uint8))
    maps = np.random.default_rng(1).random((2, 12, 9)).astype(np.float32)
    assert walk(maps, steps, steps=0) is maps
    np.testing.assert_allclose(
        steps @ np.full(12 * 9, 0.3), 0.3 * np.asarray(steps.sum(1)).ravel(), rtol=1e-5
    )


def test_a_constant_mask_makes_the_walk_uniform_over_the_radius():
    matrix = transition(np.full((3, 21, 21), 255, np.uint8), radius=5)
    column = matrix[:, [10 * 21 + 10]].toarray().reshape(21, 21)
    rows, columns = np.mgrid[:21, :21]
    inside = (rows - 10) ** 2 + (columns - 10) ** 2 <= 25
    assert np.allclose(column[inside], 1 / inside.sum()) and not column[~inside].any()


def test_nothing_walks_over_the_edge_of_a_mask():
    answers = np.zeros((1, 16, 16), np.uint8)
    answers[0, :, 8:] = 255
    start = np.zeros((1, 16, 16), np.float32)
    start[0, 8, 4] = 1
    after = walk(start, transition(answers))
    assert after[0, :, :8].max() == 1 and after[0, :, 8:].max() < 0.05


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (460, 1130)])
def test_the_grid_covers_all_four_quadrants_alike(shape):
    points = np.array(grid_points(shape))
    assert len(points) == GRID * GRID
    quadrants = (points >= (np.array(shape) - 1) / 2) @ [1, 2]
    assert (np.bincount(quadrants, minlength=4) == len(points) // 4).all()


def test_a_slice_is_encoded_once_for_all_clicks():
    class Counting(GraphCut):
        encoded = 0

        def encode(self, image):
            self.encoded += 1
            return super().encode(image)

    model, (pictures, _) = Counting(), blobs(1)
    embedding = model.encode(pictures[0, 0])
    assert responses(model, embedding, 2).shape == (4, 64, 64) and model.encoded == 1


# the classifier


def test_the_first_child_is_the_target_exactly_of_negative_slices():
    present = np.array([[1.0], [0], [UNKNOWN]] * 20, np.float32)
    features = np.random.default_rng(0).normal(size=(60, CHANNELS, 2, 2)).astype(np.float16)
    children = child_targets(TaggedSlices(features, present), np.random.default_rng(0))[:, 0]
    assert (children[:, 0] == (present[:, 0] == 0)).all()
    assert (children.sum(1) == (present[:, 0] != UNKNOWN)).all()
    used = children[present[:, 0] == 1].sum(0)
    assert used[0] == 0 and (used[1:] > 0).sum() == 20 // 4 <= CHILDREN


def test_too_few_positive_slices_are_not_explored():
    tagged = TaggedSlices(
        np.zeros((6, CHANNELS, 2, 2), np.float16), np.array([[1.0]] * 5 + [[0.0]], np.float32)
    )
    assert not child_targets(tagged, np.random.default_rng(0)).any()


def test_what_nobody_tagged_teaches_nothing():
    parent = torch.zeros(2, 2, requires_grad=True)
    child = torch.zeros(2, 2, CHILDREN + 1, requires_grad=True)
    present = torch.tensor([[1.0, UNKNOWN], [0.0, UNKNOWN]])
    loss_of(parent, child, present, torch.zeros(2, 2, CHILDREN + 1)).backward()
    assert (parent.grad[:, 0] != 0).all() and (parent.grad[:, 1] == 0).all() and not child.grad.any()


def test_a_map_is_the_parents_weights_on_the_embedding():
    head, features = (
        ClassifierHead(2),
        np.random.default_rng(0).normal(size=(CHANNELS, 5, 7)).astype(np.float16),
    )
    maps, chance = maps_of(head, features)
    with torch.inference_mode():
        embedding = head.embedding(torch.from_numpy(features.astype(np.float32))[None])[0].numpy()
    weights = head.parent.weight.detach().numpy()[:, :, 0, 0]
    np.testing.assert_allclose(maps, np.einsum("kc,chw->khw", weights, embedding), rtol=1e-4, atol=1e-5)
    assert chance.shape == (2,) and head.parent.bias is None


# guesses


def test_trust_is_highest_where_map_and_prompt_model_agree_and_nothing_between():
    chances = np.array([[[0.9, 0.9, 0.4, 0.1]]], np.float32)
    masks = np.array([[[True, False, False, False]]])
    guess = guess_of(chances, masks, (7,), np.ones(1, np.float32))
    assert guess.classes[0].tolist() == [7, 7, UNLABELLED, BACKGROUND]
    assert guess.trust[0, 0] == round(BOTH * 255) > guess.trust[0, 1] > guess.trust[0, 2] == 0


def test_a_slice_without_any_class_is_background_that_a_person_said():
    guess = nothing_there((3, 4))
    assert (guess.classes == BACKGROUND).all() and (guess.trust == 255).all()


def test_the_prompt_model_sharpens_a_blurred_map():
    pictures, masks = blobs(1, seed=3)
    picture, mask = pictures[0, 0], masks[0, 0]
    rows, columns = np.nonzero(mask)
    r, c = np.mgrid[:SIDE, :SIDE]
    far = np.hypot(r - rows.mean() - 3, c - columns.mean() + 3)
    blurred = np.clip(1.2 - far / 18, 0, 1).astype(np.float32)
    model = GraphCut()
    sharp = prompted(model, model.encode(picture), blurred)
    assert dice(sharp, mask) > dice(blurred > 0.5, mask) + 0.1


def test_tags_on_both_sides_are_needed_and_held_out_ones_do_not_count(tmp_path):
    pictures, masks = blobs(2 * MIN_SLICES)
    examples = examples_of(tmp_path, pictures, masks)
    assert teachable(examples, (1, 2)) == (1,) and missing_tags(examples, (1,)) is None
    held = tuple(Example(**{**vars(e), "all_held": e.image_id == 1}) for e in examples)
    assert teachable(held, (1,)) == ()
    with pytest.raises(Unready, match="Tag at least"):
        run_round(RoundSpec("tags", (1,), held, tmp_path, steps=1))


def test_a_guess_is_trained_on_only_where_nobody_said_anything(tmp_path):
    from learners.spec import WeakLabels

    known = np.array([[[0, UNLABELLED, UNLABELLED]]], np.uint8)
    arrays = {"k": known, "c": known * 0 + 1, "t": np.array([[[255, 51, 0]]], np.uint8), "p": known}
    for name, array in arrays.items():
        write_npy(tmp_path / f"{name}.npy", array)
    guess = WeakLabels(tmp_path / "c.npy", tmp_path / "t.npy")
    example = Example(1, tmp_path / "p.npy", (1, 1, 3), 1, None, known=tmp_path / "k.npy", guess=guess)
    target = ImageReader(example, Classes((1,)), 1).target((slice(0, 1), slice(0, 1), slice(0, 3)))
    assert target.y[0, 0, :2].tolist() == [0, 1]
    np.testing.assert_allclose(target.w[0, 0], [1, 0.2, 0], atol=1e-6)


@pytest.mark.thorough
def test_masks_come_from_tags_alone_and_are_better_than_the_plain_map(tmp_path):
    """The whole round on pictures whose objects nobody drew: the guesses, and the network on pictures without tags."""
    pictures, masks = blobs(14)
    examples = examples_of(tmp_path, pictures, masks)
    unseen, truths = blobs(4, seed=9)
    more = [
        Example(
            **{**vars(e), "image_id": 100 + e.image_id, "tags": (), "pixels": tmp_path / f"x{e.image_id}.npy"}
        )
        for e in examples_of(tmp_path, unseen, truths)
    ]
    for example, picture in zip(more, unseen):
        write_npy(example.pixels, picture)
    for example, picture in zip(examples, pictures):
        write_npy(example.pixels, picture)
    folder = tmp_path / "round"
    spec = RoundSpec(
        "tags",
        (1,),
        (*examples, *more),
        folder,
        seconds=600,
        predict=(101, 103),
        steps=70,
        prompts=PromptChoice("graphcut"),
        cache=tmp_path / "seen",
        device="cpu",
    )
    folder.mkdir()
    result = run_round(spec)
    found = [found_in(spec, masks)]
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        again = replace(spec, directory=tmp_path / str(seed), seed=seed)
        guessed(again)
        found.append(found_in(again, masks))
    guess, plain = np.mean(found, 0)
    predicted = np.mean(
        [dice(np.load(folder / f"classes-{i}.npy")[0] == 1, truths[i - 101][0]) for i in (101, 103)]
    )
    print("guessed", guess, "plain", plain, "network", predicted)
    assert plain > 0.5 and guess > plain + 0.02
    assert predicted > 0.5 and {s.image_id for s in result.predicted} == {101, 103}


def found_in(spec: RoundSpec, masks: np.ndarray) -> tuple[float, float]:
    """Mean Dice of the guesses and of the plain maps of what holds the class; the rest is guessed to hold nothing."""
    guesses, plain = [], []
    head = load_head(spec.directory / HEAD, 1)
    for number, mask in enumerate(masks, start=1):
        guess = np.load(spec.directory / f"guess-classes-{number}.npy")[0]
        if not mask.any():
            assert (guess == BACKGROUND).all()
            continue
        assert spec.cache is not None
        kept = next(spec.cache.glob(f"{number}-0-0.*.features.npz"))
        cam = at_side(maps_of(head, np.load(kept)["features"])[0], SIDE)[0]
        guesses.append(dice(guess == 1, mask[0]))
        plain.append(dice(cam > 0.5, mask[0]))
    return float(np.mean(guesses)), float(np.mean(plain))


def test_what_is_read_from_tags_depends_on_the_rounds_seed_alone(tmp_path):
    examples, heads = examples_of(tmp_path, *blobs(2 * MIN_SLICES)), []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)
        folder = tmp_path / f"round {number}"
        folder.mkdir()
        spec = RoundSpec(
            "tags", (1,), examples, folder, steps=3, seed=seed, cache=tmp_path / "seen", device="cpu"
        )
        TagReader(spec, (1,), ProgressReport(folder)).read(list(_spots(spec, (1,))))
        heads.append((folder / HEAD).read_bytes())
    assert heads[0] == heads[1] != heads[2]


def test_what_is_kept_of_slices_stays_within_the_quota_and_is_made_again(tmp_path):
    examples, quota = examples_of(tmp_path, *blobs(6)), 100_000
    spec = RoundSpec(
        "tags", (1,), examples, tmp_path, cache=tmp_path / "seen", cache_bytes=quota, device="cpu"
    )
    spots, reader = list(_spots(spec, (1,))), TagReader(spec, (1,), ProgressReport(tmp_path))
    first = [reader.features(spot) for spot in spots]
    left = list((tmp_path / "seen").iterdir())
    assert 1 <= len(left) < 6 and sum(path.stat().st_size for path in left) <= quota
    again = [reader.features(spot) for spot in spots]
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))


def test_the_learner_is_in_the_list_with_a_round_of_its_own():
    entry = LEARNERS["tags"]
    assert entry.reads_tags and entry.run_round is not None and entry.recipe().select is None


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def test_a_dark_picture_stays_dark_and_a_volume_is_spread(tmp_path):
    from learners.training.pictures import picture_of

    dim = np.random.default_rng(0).integers(3, 7, (1, 6, 8)).astype(np.uint8)
    for name, pixels in (("flat", dim), ("deep", np.repeat(dim, 3, 0))):
        write_npy(tmp_path / f"{name}.npy", pixels)
    flat, deep = (
        ImageReader(Example(1, tmp_path / f"{name}.npy", shape, 1, None), Classes((1,)), 1)
        for name, shape in (("flat", (1, 6, 8)), ("deep", (3, 6, 8)))
    )
    assert (picture_of(flat, 0, 0) == dim[0, ..., None]).all()
    assert picture_of(deep, 0, 1).max() == 255 and picture_of(deep, 1, 2).shape == (3, 8, 3)
