"""Reference segmentation: the parts' laws, and that one reference is worth more than copying it."""

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.learning.model_export import export_model
from annotator.learning.round_spec import parent_of
from annotator.learning.scheduler import Scheduler
from annotator.learning.settings import LearnSettings
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import CompleteMessage, LabelMessage
from annotator.workflow import Workflow
from learners.engines import SerialExecutor
from learners.methods.reference.align import STEPS, align, alignment_loss, fresh_neck, likeness, prototype
from learners.methods.reference.augment import augmented_slice
from learners.methods.reference.checkpoint import load_reference, save_reference
from learners.methods.reference.features import BuiltInFeatures, zoom_for
from learners.methods.reference.fit import FitOptions, learn
from learners.methods.reference.head import best_threshold, fit, otsu, own_threshold, prototypes, scaling_of
from learners.methods.reference.model import FeatureExtractor, at_size, class_map_of
from learners.methods.reference.objects import gate_of, only_above, pieces_of, refined
from learners.methods.reference.reference_slices import Cells, ReferenceSlice, cells_of, diameter_of
from learners.methods.reference.reliability import trusted
from learners.methods.reference.round import run, run_aligned
from learners.progress import classes_file
from learners.spec import Unready
from models.builtin import BuiltIn
from models.prompt import Embedding, FloatBox, MaskPrediction, Prompts
from storage.arrays import UNLABELLED, open_npy
from storage.store import Store
from tests.learners.test_learning import example, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dense() -> BuiltInFeatures:
    return BuiltInFeatures()


def picture(
    seed: int, *, objects: int = 5, side: tuple[int, int] = (112, 136)
) -> tuple[np.ndarray, np.ndarray]:
    """Bright textured discs on a grey ramp with noise, and where they are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: side[0], : side[1]]
    grey, truth = 60 + 40 * columns / side[1] + rng.normal(0, 6, side), np.zeros(side, np.uint8)
    for _ in range(objects):
        r, c, radius = rng.integers(12, side[0] - 12), rng.integers(12, side[1] - 12), rng.integers(7, 11)
        inside = np.hypot(rows - r, columns - c) < radius
        grey[inside] = 170 + rng.normal(0, 10, inside.sum())
        truth[inside] = 1
    return np.clip(grey, 0, 255).astype(np.uint8), truth


def shot(seed: int, **more) -> ReferenceSlice:
    grey, truth = picture(seed, **more)
    return ReferenceSlice(seed, np.repeat(grey[..., None], 3, 2), truth)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(1, int(a.sum() + b.sum()))


def test_a_prototype_of_constant_features_is_that_constant():
    f = torch.full((4, 5, 6), 2.5)
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask[1, 2:4] = True
    assert torch.allclose(prototype(f, mask), torch.full((4,), 2.5))
    assert torch.allclose(prototype(f, mask & False), torch.full((4,), 2.5)), "an empty mask is no error"


def test_otsu_splits_two_heaps_and_survives_a_flat_map():
    values = torch.cat([torch.randn(300) * 0.1 - 1, torch.randn(60) * 0.1 + 2])
    assert -0.6 < otsu(values) < 1.6
    assert otsu(torch.full((4, 4), 3.0)) == 3.0


def test_alignment_lowers_its_loss_and_changes_the_neck_alone(dense):
    first = shot(3)
    looks = [augmented_slice(first, np.random.default_rng(k)) for k in range(3)]
    sight = FeatureExtractor(dense, diameter_of([first]))
    grids = [sight(s.picture, 0.0) for s in (first, *looks)]
    scaling = scaling_of(grids[:1])
    pairs = [
        (scaling(g), cells_of(s.values, 1, False, tuple(g[0].shape[1:])))
        for g, s in zip(grids, (first, *looks), strict=True)
    ]
    trunk = [p.clone() for stage in dense._trunk._stages for p in stage.state_dict().values()]
    found = align([(pairs[0], pairs[1:])], steps=30)
    assert np.mean(found.losses[-6:]) < np.mean(found.losses[:6])
    after = [p for stage in dense._trunk._stages for p in stage.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(trunk, after, strict=True))
    start = fresh_neck(pairs[0][0].shape[0])
    assert not torch.equal(found.neck.weight, start.weight)
    still = align([(pairs[0], pairs[1:])], steps=3, rate=0.0).neck
    assert torch.equal(still.weight, start.weight) and torch.equal(still.bias, start.bias)
    assert STEPS == 100 and float(alignment_loss(start, *pairs[:2])) > 0


def test_likeness_is_a_cosine():
    f = torch.randn(8, 3, 4)
    s = likeness(f, f[:, 1, 2])
    assert float(s[1, 2]) == pytest.approx(1, abs=1e-5) and float(s.abs().max()) <= 1 + 1e-5


def test_cells_nobody_spoke_of_are_neither_object_nor_background():
    values = np.full((16, 16), UNLABELLED, np.uint8)
    values[:8, :8], values[8:, 8:], values[:8, 8:] = 1, 0, 2
    cells = cells_of(values, 1, False, (2, 2))
    assert cells.yes.tolist() == [[True, False], [False, False]]
    assert cells.no.tolist() == [[False, True], [False, True]], "another class is no background to be ignored"
    values[8:, 8:] = 254
    assert not cells_of(values, 2, True, (2, 2)).no[1, 1], "completed before the class was first used"
    assert cells_of(values, 1, False, (2, 2)).no[1, 1]


def test_a_head_tells_two_directions_apart_and_a_side_alone_makes_none():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(6, 8, 8, generator=rng) * 0.1
    x[0, :4] += 1
    x[1, 4:] += 1
    yes = torch.zeros(8, 8, dtype=torch.bool)
    yes[:4] = True
    head = fit([(x, Cells(yes, ~yes))])
    assert head is not None
    assert ((head.scores(x) > 0) == yes).all() and ((head.nearest(x) > 0) == yes).all()
    assert best_threshold([head.scores(x)], [Cells(yes, ~yes)]) == pytest.approx(0, abs=0.5)
    assert fit([(x, Cells(yes, yes & False))]) is None


def test_an_image_finds_its_own_threshold_only_where_something_peaks_as_objects_do():
    rng = torch.Generator().manual_seed(0)
    background, objects = (
        torch.full((400,), -1.2),
        torch.cat([torch.full((300,), -0.5), torch.ones(40) * 0.1]),
    )
    scores = torch.cat([background, objects]) + 0.02 * torch.randn(740, generator=rng)
    assert -0.4 < own_threshold(scores, -0.1, 0.0) < 0.0, "what is clearly something else has no say"
    assert own_threshold(scores, 0.3, 0.0) == 0.3 and own_threshold(scores, 0.0, 0.5) == 0.0
    assert own_threshold(scores[:400], -0.9, 0.0) == -0.9, "nothing here could be an object"


def grid_of(parts: int, directions: int) -> tuple[torch.Tensor, Cells]:
    """Features of so many objects in a row, which look in so many different ways, on a ground like nothing."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(16, 12, 12 * parts, generator=rng) * 0.2
    yes = torch.zeros(12, 12 * parts, dtype=torch.bool)
    for n in range(parts):
        yes[3:9, 12 * n + 3 : 12 * n + 9] = True
        x[1 + n % directions, 3:9, 12 * n + 3 : 12 * n + 9] += 1
    return x, Cells(yes, ~yes)


def test_a_reference_whose_parts_do_not_find_each_other_is_doubted():
    assert trusted(*grid_of(6, 1)), "six objects that look alike"
    assert not trusted(*grid_of(3, 3)), "three things that have nothing in common"
    x, cells = grid_of(2, 1)
    two = torch.zeros_like(cells.yes)
    two[4, 4:6] = True
    assert not trusted(x, Cells(two, ~two)), "too little to part"
    wide, wide_two = torch.nn.functional.pad(x, (0, 300)), torch.nn.functional.pad(two, (0, 300))
    assert trusted(wide, Cells(wide_two, ~wide_two)), "too rare for a threshold of the picture's own"


def test_prototypes_are_units_and_do_not_depend_on_the_order_of_their_rows():
    rows = torch.nn.functional.normalize(
        torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), dim=1
    )
    one, other = prototypes(rows), prototypes(rows[torch.randperm(40)])
    assert torch.allclose(one.norm(dim=1), torch.ones(len(one)))
    assert torch.allclose(one, other, atol=1e-5)
    assert len(prototypes(rows[:2])) == 2


def test_touching_discs_are_two_pieces_and_weak_ones_are_put_down():
    rows, columns = np.mgrid[:48, :64]
    scores = np.full((48, 64), -0.5, np.float32)
    for r, c, high in ((24, 20, 0.8), (24, 38, 0.7), (10, 56, 0.1)):
        scores[np.hypot(rows - r, columns - c) < 10] = high
    pieces = pieces_of(scores, 18.0)
    assert len(pieces) == 3
    gate = gate_of([0.8, 0.7])
    assert 0.1 < gate < 0.7 and gate_of([]) == 0
    kept = only_above(scores, pieces, gate)
    assert (kept[scores > 0.5] > 0).all() and (kept[:4] <= 0).all()


@dataclass
class Boxed:
    """A prompt model whose mask is the box, and which expects most of one that is so high."""

    high: float
    asked: list[FloatBox] = field(default_factory=list)
    model_id: str = "boxed"

    def encode(self, image: np.ndarray) -> Embedding:
        return Embedding(self.model_id, image.shape[:2], {})

    def predict(self, embedding: Embedding, prompts: Prompts) -> MaskPrediction:
        assert prompts.box is not None
        self.asked.append(prompts.box)
        row0, column0, row1, column1 = (round(side) for side in prompts.box)
        mask = np.zeros(embedding.shape, bool)
        mask[row0 : row1 + 1, column0 : column1 + 1] = True
        score = 1 - abs(prompts.box[2] - prompts.box[0] - self.high) / 100
        return MaskPrediction(mask[None], np.array([score], np.float32))


@pytest.mark.parametrize(("high", "times", "rows"), [(50, 2, 41), (36, 3, 37), (20, 3, 31)])
def test_pieces_are_asked_for_by_tighter_boxes_while_the_model_expects_more_of_them(high, times, rows):
    scores = np.full((60, 600), -0.4, np.float32)
    for column in range(5, 600, 50):
        scores[10:51, column : column + 41] = 0.6
    model, pieces = Boxed(high), pieces_of(scores, 41.0)
    borders = refined(scores, pieces, model, np.zeros((60, 600, 3), np.uint8))
    assert len(pieces) == 12 and len(model.asked) == 6 * times + 6, (
        "on a few, and then all others in that way"
    )
    assert (borders > 0).any(1).sum() == rows
    assert np.array_equal(refined(scores, [], model, np.zeros((60, 600, 3), np.uint8)), scores)


def test_anaugmented_slice_moves_labels_with_the_picture_and_says_nothing_beyond_it():
    first = shot(5)
    look = augmented_slice(first, np.random.default_rng(2))
    assert look.picture.shape == first.picture.shape and set(np.unique(look.values)) <= {0, 1, UNLABELLED}
    bright, dark = (look.picture[look.values == v].mean() for v in (1, 0))
    assert bright > dark + 30


def test_the_reference_itself_and_another_picture_are_found(dense):
    first, second = shot(1), shot(2)
    found = learn([first], FeatureExtractor(dense, diameter_of([first])), FitOptions((1, 7)))
    assert [set(view.seen) for view in found.views] == [{1}], (
        "nothing is learned of a class that no reference shows"
    )
    own = dice(class_map_of(found, first) == 1, first.values == 1)
    other = dice(class_map_of(found, second) == 1, second.values == 1)
    copied = dice(first.values == 1, second.values == 1)
    assert own > 0.8 and other > 0.7 and other > copied + 0.3


def test_more_references_do_not_depend_on_their_order(dense):
    shots = [shot(1), shot(2)]
    sight, target = FeatureExtractor(dense, diameter_of(shots)), shot(3)
    maps = [
        class_map_of(learn(order, sight, FitOptions((1,), gated=False)), target)
        for order in (shots, shots[::-1])
    ]
    assert (maps[0] == maps[1]).mean() > 0.97, "the other looks are drawn anew, nothing else differs"


def large(seed: int) -> ReferenceSlice:
    """Dark discs, three times as large, on a bright ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:112, :136]
    grey, truth = 180 + rng.normal(0, 6, rows.shape), np.zeros(rows.shape, np.uint8)
    for r, c in ((34, 36), (70, 100)):
        inside = np.hypot(rows - r - rng.integers(6), columns - c - rng.integers(6)) < 27
        grey[inside] = 70 + rng.normal(0, 10, inside.sum())
        truth[inside] = 1
    return ReferenceSlice(seed, np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), truth)


def test_references_of_two_kinds_speak_for_themselves_and_are_kept(dense, tmp_path, monkeypatch):
    shots = [shot(1), shot(4), large(21), large(23)]
    monkeypatch.setattr("learners.methods.reference.fit._better_apart", lambda *_: True)
    found = learn(shots, FeatureExtractor(dense, diameter_of(shots)), FitOptions((1,)))
    assert [round(view.sight.diameter) for view in found.views] == [
        round(diameter_of([each])) for each in shots
    ], "each is seen at the size of its own objects"
    for target in (shot(2), large(22)):
        assert dice(class_map_of(found, target) == 1, target.values == 1) > 0.7
    save_reference(tmp_path, found)
    again = load_reference(tmp_path, (1,), dense, BuiltIn())
    assert again is not None and len(again.views) == 4
    assert np.array_equal(class_map_of(again, shots[2]), class_map_of(found, shots[2]))


@pytest.mark.thorough
def test_whether_references_speak_for_themselves_is_told_by_those_that_are_kept_back(dense, monkeypatch):
    shots = [shot(1), shot(4), large(21), large(23)]
    sight = FeatureExtractor(dense, diameter_of(shots))
    monkeypatch.setattr(
        "learners.methods.reference.fit.agreement", lambda reference, kept: 1.0 / len(reference.views)
    )
    assert len(learn(shots, sight, FitOptions((1,))).views) == 1
    monkeypatch.setattr(
        "learners.methods.reference.fit.agreement", lambda reference, kept: float(len(reference.views))
    )
    assert len(learn(shots, sight, FitOptions((1,))).views) == 4
    monkeypatch.setattr("learners.methods.reference.fit.trusted", lambda x, cells: False)
    assert len(learn(shots, sight, FitOptions((1,))).views) == 1, "alone each of them is doubted"


def test_a_reference_without_objects_tells_the_others_what_is_none(dense):
    shots = [shot(1), shot(2), shot(8, objects=0)]
    found = learn(shots, FeatureExtractor(dense, diameter_of(shots)), FitOptions((1,)))
    assert (class_map_of(found, shot(9, objects=0)) == 1).mean() < 0.01
    assert dice(class_map_of(found, shot(3)) == 1, shot(3).values == 1) > 0.7


def test_scans_are_learned_from_together(dense):
    shots = [shot(1), shot(2)]
    assert (
        len(learn(shots, FeatureExtractor(dense, diameter_of(shots)), FitOptions((1,), joined=True)).views)
        == 1
    )


def test_an_image_without_the_object_gets_none(dense):
    first = shot(1)
    found = learn([first], FeatureExtractor(dense, diameter_of([first])), FitOptions((1,)))
    assert (class_map_of(found, shot(8, objects=0)) == 1).mean() < 0.01


def test_what_was_learned_survives_the_disk(dense, tmp_path):
    first = shot(1)
    found = learn([first], FeatureExtractor(dense, diameter_of([first])), FitOptions((1,), aligned=True))
    save_reference(tmp_path, found)
    model = BuiltIn()
    again = load_reference(tmp_path, (1,), dense, model)
    assert again is not None and again.views[0].neck is not None
    assert np.array_equal(class_map_of(again, shot(2)), class_map_of(found, shot(2)))
    assert load_reference(tmp_path / "nowhere", (1,), dense, model) is None
    other = BuiltInFeatures()
    other.key = "other weights"
    assert load_reference(tmp_path, (1,), other, model) is None


def test_a_doubted_reference_is_told_by_prototypes_from_the_disk_too(dense, tmp_path, monkeypatch):
    first, second = shot(1), shot(2)
    sight = FeatureExtractor(dense, diameter_of([first]))
    assert not learn([first], sight, FitOptions((1,))).views[0].seen[1].doubted
    monkeypatch.setattr("learners.methods.reference.fit.trusted", lambda x, cells: False)
    found = learn([first, shot(8, objects=0)], sight, FitOptions((1,)))
    (view,) = found.views
    x = view.look(second.picture, 0.0)
    near = view.seen[1].head.nearest(x)
    assert view.seen[1].doubted and ((view.score(1, x) > 0) == (near > otsu(near))).all()
    save_reference(tmp_path, found)
    again = load_reference(tmp_path, (1,), dense, BuiltIn())
    assert again is not None and np.array_equal(class_map_of(again, second), class_map_of(found, second))
    assert not learn([first, second], sight, FitOptions((1,))).views[0].seen[1].doubted, (
        "two tell more than one"
    )


@pytest.mark.parametrize("run", [run, run_aligned])
@pytest.mark.thorough
def test_a_round_predicts_every_image_from_one(run, tmp_path: Path):
    examples = []
    for i in range(1, 5):
        grey, truth = picture(i)
        examples.append(
            example(tmp_path, i, grey[None], truth[None] if i in (1, 4) else None, all_held=i == 4)
        )
    first = run(spec_of(tmp_path, examples, learner="reference"))
    assert first.remaining == 0 and {s.image_id for s in first.predicted} == {1, 2, 3, 4}
    assert first.dice is not None and first.dice > 0.65 and "learned from 1 image (1)" in first.notes[0]
    found = open_npy(classes_file(first.model, 2))[0]
    assert dice(found == 1, picture(2)[1] == 1) > 0.65
    later = spec_of(tmp_path, examples, learner="reference", parent=first.model, seconds=0)
    assert run(later).model == first.model, "a round that only predicts takes the model that is there"


@pytest.mark.thorough
def test_a_round_says_when_its_only_reference_tells_little_of_others(tmp_path: Path, monkeypatch):
    examples = [
        example(tmp_path, i, picture(i)[0][None], picture(i)[1][None] if i == 1 else None) for i in (1, 2)
    ]
    assert "add a second reference" not in run(spec_of(tmp_path, examples, learner="reference")).notes[0]
    monkeypatch.setattr("learners.methods.reference.fit.trusted", lambda x, cells: False)
    doubted = spec_of(tmp_path, examples, learner="reference")
    assert run(doubted).notes[0].endswith("add a second reference")
    aligned = spec_of(tmp_path, examples, learner="reference")
    assert "add a second reference" not in run_aligned(aligned).notes[0], "a neck asks no discriminant"


def test_a_volume_is_learned_from_one_of_its_slices(tmp_path: Path):
    rows, columns = np.mgrid[:40, :52]
    pixels, truth = np.zeros((9, 40, 52), np.uint8), np.zeros((9, 40, 52), np.uint8)
    rng = np.random.default_rng(0)
    for z in range(9):
        truth[z] = np.hypot(rows - 18 - z / 2, columns - 24) < 11 - abs(z - 4)
        pixels[z] = np.clip(70 + 90 * truth[z] + rng.normal(0, 8, truth[z].shape), 0, 255)
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    known[4] = truth[4]
    one = example(tmp_path, 1, pixels, known, slices=((0, 4),))
    result = run(spec_of(tmp_path, [one], learner="reference", mirror=(2,)))
    assert dice(open_npy(classes_file(result.model, 1)) == 1, truth == 1) > 0.7


def test_references_without_anything_to_tell_it_from_say_what_to_do(tmp_path: Path):
    grey, truth = picture(1)
    drawn = np.where(truth == 1, 1, UNLABELLED).astype(np.uint8)
    one = example(tmp_path, 1, grey[None], drawn[None])
    with pytest.raises(Unready, match="complete one slice"):
        run(spec_of(tmp_path, [one], learner="reference"))


def test_chosen_references_are_taken_and_no_others(tmp_path: Path):
    examples = []
    for i in range(1, 4):
        grey, truth = picture(i)
        examples.append(example(tmp_path, i, grey[None], truth[None]))
    result = run(replace(spec_of(tmp_path, examples, learner="reference"), references=(2,)))
    assert "(2)" in result.notes[0]


def test_small_objects_are_looked_at_closer_within_bounds():
    assert zoom_for(16, (100, 100)) == 2.0 and zoom_for(64, (100, 100)) == 0.5
    assert zoom_for(1, (4000, 4000)) < 0.2


@pytest.mark.slow
def test_one_reference_of_nuclei_beats_its_copied_mask_and_the_nearest_prototype(shared_data, dense):
    """Three pictures of another part of the set; the built-in model itself was trained on the first part."""
    with open(shared_data / "dsb2018-nuclei" / "split.csv") as file:
        rows = [r for r in csv.DictReader(file) if r["domain"] == "fluo256"]
    first = nucleus(shared_data, next(r["file"] for r in rows if r["split"] == "train"))
    targets = [nucleus(shared_data, r["file"]) for r in [r for r in rows if r["split"] == "val"][:3]]
    found = learn(
        [first], FeatureExtractor(dense, diameter_of([first])), FitOptions((1,), prompt_model=BuiltIn())
    )
    scores: dict[str, list[float]] = {"found": [], "nearest": [], "copied": []}
    for target in targets:
        truth = target.values == 1
        (view,) = found.views
        near = at_size(view.seen[1].head.nearest(view.look(target.picture, 0.0)), truth.shape) > 0
        copied = cv2.resize(first.values, truth.shape[::-1], interpolation=cv2.INTER_NEAREST) == 1
        for name, mask in (
            ("found", class_map_of(found, target) == 1),
            ("nearest", near),
            ("copied", copied),
        ):
            scores[name].append(dice(mask, truth))
    mean = {name: float(np.mean(each)) for name, each in scores.items()}
    print(mean)
    assert (
        mean["found"] > 0.6
        and mean["found"] > mean["nearest"] + 0.05
        and mean["found"] > mean["copied"] + 0.3
    )


@pytest.mark.slow
@pytest.mark.thorough
def test_nuclei_of_another_laboratory_are_found_by_a_threshold_of_their_own(shared_data, dense):
    """From small fluorescence pictures to others: one threshold for all misses most of what is there."""
    with open(shared_data / "dsb2018-nuclei" / "split.csv") as file:
        rows = list(csv.DictReader(file))
    names = {d: [r["file"] for r in rows if r["domain"] == d] for d in ("fluo256", "fluo360")}
    each: list[float] = []
    usual: list[float] = []
    for name in names["fluo256"][:3]:
        first = nucleus(shared_data, name)
        found = learn([first], FeatureExtractor(dense, diameter_of([first])), FitOptions((1,)))
        (view,) = found.views
        assert view.seen[1].own
        one = replace(found, views=(replace(view, seen={1: replace(view.seen[1], own=False)}),))
        for target in (nucleus(shared_data, n) for n in names["fluo360"][:3]):
            for reference, scores in ((found, each), (one, usual)):
                scores.append(dice(class_map_of(reference, target) == 1, target.values == 1))
    print(np.mean(each), np.mean(usual))
    assert np.mean(each) > np.mean(usual) + 0.03


@pytest.mark.slow
@pytest.mark.thorough
def test_a_person_in_one_photograph_is_not_taken_for_all_people(shared_data, dense, monkeypatch):
    """A discriminant that knows one person finds others worse than the nearest prototype does, unless it is doubted."""
    photographs = _people(shared_data)
    references, targets = photographs[:3], photographs[3:7]
    scores: dict[str, list[float]] = {"doubted": [], "nearest": [], "believed": []}
    for first in references:
        sight = FeatureExtractor(dense, diameter_of([first]))
        doubted = learn([first], sight, FitOptions((1,)))
        with monkeypatch.context() as patch:
            patch.setattr("learners.methods.reference.fit.trusted", lambda x, cells: True)
            believed = learn([first], sight, FitOptions((1,)))
        for target in targets:
            truth = target.values == 1
            (view,) = doubted.views
            near = at_size(view.seen[1].head.nearest(view.look(target.picture, 0.0)), truth.shape) > 0
            scores["doubted"].append(dice(class_map_of(doubted, target) == 1, truth))
            scores["believed"].append(dice(class_map_of(believed, target) == 1, truth))
            scores["nearest"].append(dice(near, truth))
    mean = {name: float(np.mean(each)) for name, each in scores.items()}
    print(mean)
    assert mean["doubted"] > mean["believed"] + 0.1 and mean["doubted"] > mean["nearest"] + 0.03


def _people(data: Path) -> list[ReferenceSlice]:
    """Photographs that people fill at least a hundredth of."""
    values: dict[str, list[int]] = {}
    with open(data / "coco-cc" / "objects.csv") as file:
        for row in csv.DictReader(file):
            if row["class"] == "person" and float(row["share"]) >= 0.01:
                values.setdefault(row["file"], []).append(int(row["value"]))
    out = []
    for n, (name, which) in enumerate(sorted(values.items())):
        pixels = _read(data / "coco-cc" / "images" / name, cv2.IMREAD_COLOR_RGB)
        label = _read(data / "coco-cc" / "labels" / f"{Path(name).stem}.png", cv2.IMREAD_UNCHANGED)
        out.append(ReferenceSlice(n, pixels, np.isin(label, which).astype(np.uint8)))
    return out


def nucleus(data: Path, name: str) -> ReferenceSlice:
    pixels = _read(data / "dsb2018-nuclei" / "images" / name, cv2.IMREAD_COLOR_RGB)
    label = _read(data / "dsb2018-nuclei" / "labels" / name, cv2.IMREAD_UNCHANGED)
    return ReferenceSlice(1, pixels, np.asarray(label > 0, np.uint8))


def _read(path: Path, flags: int) -> NDArray[Any]:
    found = cv2.imread(str(path), flags)
    assert found is not None, path
    return found


def test_it_runs_as_any_learner_does_and_says_that_it_has_no_network_to_export(tmp_path: Path):
    store = Store(tmp_path / "project")
    workflow = Workflow(store, PromptService(store))
    settings = LearnSettings(learners=("reference",), seconds=20, settle_seconds=180, device="cpu")
    scheduler = Scheduler(store, SerialExecutor(), settings=settings)
    try:
        store.add_class("disc")
        for i in range(1, 4):
            cv2.imwrite(str(tmp_path / f"{i}.png"), picture(i)[0])
            import_path(store, tmp_path / f"{i}.png", Job("import"))
        truth = picture(1)[1]
        place: dict[str, Any] = {"image": 1, "axis": 0, "index": 0}
        said: dict[str, Any] = {"box": (0, 0, *truth.shape), "source": "drawn", "base_rev": 0, "seconds": 9.0}
        workflow.commit("me", LabelMessage(t="label", id="a", **place, **said), encode_runs(truth))
        workflow.commit("me", CompleteMessage(t="complete", id="b", **place, on=True), b"")
        scheduler.run_until_idle()
        assert [r.status for r in scheduler.rounds.of("reference")] == ["done"], "one round is enough"
        for image_id in (2, 3):
            row = store.predictions.newest(image_id, "reference")
            assert row is not None
            assert dice(open_npy(row.classes_path)[0] == 1, picture(image_id)[1] == 1) > 0.65
            assert np.unique(open_npy(row.confidence_path)).size > 5
        assert len(scheduler.pool("reference").refs) == 3, "what to label next is told from it"
        with pytest.raises(LookupError, match="no network that could be exported"):
            export_model(store, scheduler.rounds, "reference", tmp_path / "out")
        assert parent_of(store.rounds, "supervised") is None, "no other learner starts from it"
    finally:
        scheduler.close()
        workflow.close()
        store.close()
