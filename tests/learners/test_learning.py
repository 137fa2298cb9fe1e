"""Learners learn: real pictures and a phantom, a few seconds, against a threshold that needs no training."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from learners.patches.pools import Pools
from learners.progress import classes_file, read_progress
from learners.rankers.pool import read_pool
from learners.rounds.train import run
from learners.spec import CARD, Example, RoundSpec, Unready, WeakBox
from learners.training.checkpoint import STUDENT, WEIGHTS, load_state, read_card
from learners.training.data import ImageReader
from learners.training.plan import plan_of
from learners.training.polarity import unseen_polarity
from learners.training.targets import Classes
from learners.training.trainer import GOOD_TEACHER, Gate
from models.networks import NetworkSpec
from storage.arrays import UNLABELLED, open_npy, write_npy

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 40


def example(folder: Path, image_id: int, pixels: np.ndarray, known: np.ndarray | None, **more) -> Example:
    write_npy(folder / f"{image_id}.npy", pixels)
    if known is not None:
        write_npy(folder / f"{image_id}-known.npy", known)
    return Example(
        image_id,
        folder / f"{image_id}.npy",
        pixels.shape[:3],
        pixels.shape[3] if pixels.ndim == 4 else 1,
        None,
        None if known is None else folder / f"{image_id}-known.npy",
        **more,
    )


def spec_of(folder: Path, examples: list[Example], **more) -> RoundSpec:
    directory = folder / f"round-{len(list(folder.glob('round-*')))}"
    directory.mkdir()
    values = dict(
        learner="supervised",
        class_ids=(1,),
        examples=tuple(examples),
        directory=directory,
        steps=STEPS,
        seconds=60,
        device="cpu",
        predict=tuple(e.image_id for e in examples),
    )
    return RoundSpec(**{**values, **more})


def nuclei(data: Path, folder: Path, held: int = 2) -> list[Example]:
    """Eight labelled pictures of one laboratory, the last ones held out."""
    with open(data / "dsb2018-nuclei" / "split.csv") as file:
        names = [
            r["file"] for r in csv.DictReader(file) if r["domain"] == "fluo256" and r["split"] == "train"
        ]
    examples = []
    for i, name in enumerate(names[:8], start=1):
        pixels = cv2.imread(str(data / "dsb2018-nuclei" / "images" / name), cv2.IMREAD_GRAYSCALE)
        label = cv2.imread(str(data / "dsb2018-nuclei" / "labels" / name), cv2.IMREAD_UNCHANGED)
        assert pixels is not None and label is not None
        truth = np.asarray(label > 0)
        examples.append(example(folder, i, pixels[None], truth[None].astype(np.uint8), all_held=i > 8 - held))
    return examples


def discs(folder: Path, count: int, *, labelled: int, held: int = 2, side: int = 48) -> list[Example]:
    """Bright discs among rings that are as bright: a threshold cannot tell them apart. Held-out ones last."""
    rng, examples = np.random.default_rng(0), []
    for i in range(1, count + 1):
        rows, columns = np.mgrid[:side, :side]
        pixels, truth = rng.normal(60, 12, (side, side)), np.zeros((side, side), np.uint8)
        for kind in range(4):
            r, c = rng.integers(8, side - 8, 2)
            far = np.hypot(rows - r, columns - c)
            pixels[(far < 6) if kind % 2 else (far < 7) & (far > 5)] = 160
            truth[far < 6] = kind % 2
        noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)[None]
        is_held = i > count - held
        known = truth[None] if is_held or i <= labelled else None
        examples.append(example(folder, i, noisy, known, all_held=is_held))
    return examples


@pytest.mark.slow
def test_minutes_of_training_beat_a_threshold_on_nuclei_it_never_saw(shared_data, tmp_path):
    examples = nuclei(shared_data, tmp_path)
    result = run(spec_of(tmp_path, examples, steps=60))
    otsu = []
    for e in examples[-2:]:
        pixels, truth = open_npy(e.pixels)[0], open_npy(e.known)[0] > 0
        best = cv2.threshold(np.ascontiguousarray(pixels), 0, 255, cv2.THRESH_OTSU)[1] > 0
        otsu.append(2 * (best & truth).sum() / (best.sum() + truth.sum()))
    assert result.dice > 0.7 and result.dice > np.mean(otsu) - 0.05
    assert result.model.name == "round-0" and result.remaining == 0
    assert {s.image_id for s in result.predicted} == set(range(1, 9))


def blobs(folder: Path, polarities: str, labelled: int) -> list[Example]:
    """Discs on noise, light where `polarities` says "l", dark on light where "d"; the last ones are held out."""
    rng, examples = np.random.default_rng(0), []
    rows, columns = np.mgrid[:48, :48]
    for i, polarity in enumerate(polarities, start=1):
        truth = np.zeros((48, 48), np.uint8)
        for r, c in rng.integers(8, 40, (4, 2)):
            truth[np.hypot(rows - r, columns - c) < 5] = 1
        light = np.clip(rng.normal(25, 8, truth.shape) + 130 * truth, 0, 255).astype(np.uint8)
        pixels = (light if polarity == "l" else 255 - light)[None]
        examples.append(
            example(folder, i, pixels, truth[None] if i <= labelled or i > 8 else None, all_held=i > 8)
        )
    return examples


@pytest.mark.thorough
def test_pictures_of_the_other_polarity_are_learned_without_a_label_of_them(tmp_path, monkeypatch):
    examples = blobs(tmp_path, "lllllddddd", labelled=4)
    cases = [ImageReader(each, Classes((1,)), 1) for each in examples]
    assert unseen_polarity(cases) and not unseen_polarity(cases[:5]) and not unseen_polarity(cases[5:])
    (tmp_path / "both").mkdir()
    both = [
        ImageReader(each, Classes((1,)), 1) for each in blobs(tmp_path / "both", "ldlllddddd", labelled=4)
    ]
    assert not unseen_polarity(both)
    found = run(spec_of(tmp_path, examples, steps=60))
    monkeypatch.setattr("learners.rounds.train.unseen_polarity", lambda cases: False)
    plain = run(spec_of(tmp_path, examples, steps=60))
    assert found.dice > 0.6 and found.dice > plain.dice + 0.2


def test_a_round_goes_on_from_its_parent_and_keeps_the_better(taught):
    folder, examples, first = taught
    second = run(spec_of(folder, examples, parent=first.model, steps=15))
    assert second.parent_dice == pytest.approx(first.dice, abs=1e-6)
    assert second.dice == max(second.child_dice, second.parent_dice)
    assert read_card(second.model).steps in (90, 105)


def test_new_labels_move_a_network_less_the_longer_it_was_trained(taught, tmp_path):
    _, examples, first = taught
    before = load_file(first.model / STUDENT)
    unjudged = [each for each in examples if not each.all_held]  # so that the newer one is kept

    def moved(name: str, steps: int, fresh: bool) -> float:
        parent = tmp_path / name
        shutil.copytree(first.model, parent)
        card = json.loads((parent / CARD).read_text())
        (parent / CARD).write_text(json.dumps({**card, "steps": steps}))
        shown = [replace(each, fresh=fresh and each.image_id == 1) for each in unjudged]
        result = run(spec_of(tmp_path, shown, parent=parent, steps=15, predict=()))
        now = load_file(result.model / STUDENT)
        return sum(float((now[key] - value).square().sum()) for key, value in before.items()) ** 0.5

    young, old = moved("young", 1, fresh=True), moved("old", 600, fresh=True)
    assert 0 < old < 0.5 * young and moved("on the same labels", 600, fresh=False) > 0.7 * young


def test_a_child_that_got_worse_is_dropped_and_the_parent_predicts(taught):
    folder, examples, first = taught
    wrong = []
    for e in examples[:4]:
        swapped = folder / f"swapped-{e.image_id}.npy"
        write_npy(swapped, np.where(open_npy(e.known) == 1, 0, 1).astype(np.uint8))
        wrong.append(replace(e, known=swapped))
    spec = spec_of(folder, [*wrong, *examples[4:]], parent=first.model, steps=40)
    second = run(spec)
    assert second.child_dice < second.parent_dice == second.dice and second.model == first.model
    assert read_card(spec.directory).steps == read_card(first.model).steps + 40  # saved all the same
    again = replace(spec_of(folder, examples, parent=first.model), seconds=0)
    result = run(again)
    for image_id in (1, 5):
        files = [classes_file(d, image_id) for d in (spec.directory, again.directory)]
        assert np.array_equal(*(np.load(f) for f in files))
    assert result.steps == 0 and result.model == first.model


def test_a_round_goes_on_from_a_model_that_came_out_worse_and_is_compared_with_the_one_people_see(taught):
    folder, examples, first = taught
    start = folder / "worse"
    shutil.copytree(first.model, start)
    for name in (STUDENT, WEIGHTS):
        save_file({k: torch.zeros_like(v) for k, v in load_file(start / name).items()}, start / name)
    card = json.loads((start / CARD).read_text())
    (start / CARD).write_text(json.dumps({**card, "steps": 1000, "rounds": 7}))
    spec = replace(spec_of(folder, examples, parent=first.model, steps=1), start=start)
    result = run(spec)
    assert result.parent_dice == pytest.approx(first.dice, abs=1e-6) and result.model == first.model
    assert (read_card(spec.directory).steps, read_card(spec.directory).rounds) == (1001, 8)
    assert np.array_equal(
        np.load(classes_file(spec.directory, 5)), np.load(classes_file(first.model, 5))
    )  # what the better model says


def test_the_same_seed_and_steps_make_the_same_weights(tmp_path):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    weights = [load_file(run(spec_of(tmp_path, examples, steps=4, seed=5)).model / WEIGHTS) for _ in range(2)]
    other = load_file(run(spec_of(tmp_path, examples, steps=4, seed=6)).model / WEIGHTS)
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not all(torch.equal(weights[0][k], other[k]) for k in other)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Twelve pictures of which four are labelled and two held out, and a first model of them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("taught")
    examples = discs(folder, 12, labelled=4)
    first = run(spec_of(folder, examples, steps=90))
    return folder, examples, first


@pytest.mark.parametrize("name", ["unimatch", "mean_teacher", "bcp", "stpp"])
def test_with_a_good_teacher_a_semi_supervised_round_does_no_harm(taught, name):
    folder, examples, first = taught
    assert first.dice > GOOD_TEACHER
    pseudo = [
        e if e.known is not None else replace(e, pseudo=_pseudo(first.model, e.image_id)) for e in examples
    ]
    spec = spec_of(folder, pseudo, learner=name, parent=first.model, steps=20)
    result = run(spec)
    assert result.steps == 20 and result.dice >= first.dice
    assert result.child_dice > first.dice - 0.15
    assert np.load(classes_file(spec.directory, 7)).max() == 1


def _pseudo(directory: Path, image_id: int):
    from learners.progress import confidence_file
    from learners.spec import Pseudo

    return Pseudo(classes_file(directory, image_id), confidence_file(directory, image_id), 0.5)


def test_boxes_alone_teach_what_fills_them(tmp_path):
    examples = []
    for e in discs(tmp_path, 8, labelled=6):
        truth = open_npy(e.known)
        if e.all_held:
            examples.append(e)
            continue
        count, _, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(truth[0]))
        boxes = tuple(
            WeakBox(0, 0, 1, (int(t), int(x), int(t + h), int(x + w))) for x, t, w, h, _ in stats[1:]
        )
        known = np.zeros_like(truth)
        for box in boxes:
            r0, c0, r1, c1 = box.box
            known[0, r0:r1, c0:c1] = UNLABELLED
        examples.append(replace(example(tmp_path, e.image_id, open_npy(e.pixels), known), boxes=boxes))
    result = run(spec_of(tmp_path, examples, learner="weak", steps=80))
    assert result.dice > 0.5


def test_scribbles_teach_the_rest_of_what_they_cross(tmp_path):
    examples = []
    for e in discs(tmp_path, 8, labelled=6):
        if not e.all_held:
            truth = open_npy(e.known)
            known = np.full_like(truth, UNLABELLED)
            known[0, ::5] = truth[0, ::5]  # every fifth row was drawn over
            e = example(tmp_path, e.image_id, open_npy(e.pixels), known)
        examples.append(e)
    assert run(spec_of(tmp_path, examples, learner="weak", steps=80)).dice > 0.5


def test_a_volume_with_a_few_labelled_slices_in_several_planes_trains_in_3d(tmp_path):
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:14, :30, :36]
    truth = ((z - 6) ** 2 * 4 + (y - 13) ** 2 + (x - 17) ** 2 < 110).astype(np.uint8)
    pixels = (60 + 100 * truth + rng.normal(0, 12, truth.shape)).clip(0, 255).astype(np.float32) * 1e4
    known = np.full(truth.shape, UNLABELLED, np.uint8)
    known[6], known[:, 13], known[2] = truth[6], truth[:, 13], truth[2]
    volume = example(tmp_path, 1, pixels, known, held=((0, 2), (2, 17)))
    volume = replace(volume, spacing_mm=(2.0, 1.0, 1.0))
    known[:, :, 17] = truth[:, :, 17]
    write_npy(volume.known, known)
    result = run(spec_of(tmp_path, [volume], steps=60))
    assert read_card(result.model).network.dims == 3 and result.dice > 0.65
    pool = read_pool(tmp_path / "round-0" / "pool.npz")
    assert len(pool) == 14 + 30 + 36 and set(pool.refs[:, 1]) == {0, 1, 2}
    proposed = np.load(classes_file(tmp_path / "round-0", 1))
    assert 2 * ((proposed == 1) & (truth == 1)).sum() / ((proposed == 1).sum() + truth.sum()) > 0.7


def test_whole_volumes_are_drawn_by_the_root_of_their_slices(tmp_path):
    """One volume of 36 slices, class 1, and four of one slice, class 2: six draws to four."""
    pixels = np.random.default_rng(0).random((36, 32, 32)).astype(np.float32)
    whole = example(
        tmp_path, 1, pixels, np.ones(pixels.shape, np.uint8), slices=tuple((0, k) for k in range(36))
    )
    lone = []
    for number in range(2, 6):
        known = np.full(pixels.shape, UNLABELLED, np.uint8)
        known[18] = 2
        lone.append(example(tmp_path, number, pixels, known, slices=((0, 18),)))
    classes = Classes((1, 2))
    cases = [ImageReader(each, classes, 1) for each in (whole, *lone)]
    plan = plan_of(spec_of(tmp_path, [whole, *lone], class_ids=(1, 2)))
    drawn = Pools(cases, classes, plan, np.random.default_rng(0)).labelled(400)
    of_the_whole = ((drawn.y == 1) & (drawn.w > 0)).flatten(1).any(1)
    assert 0.5 < float(of_the_whole.float().mean()) < 0.7


@pytest.mark.parametrize("side", [24, 48, 72])
def test_the_collapse_guard_leaves_pseudo_labels_alone_that_are_the_truth(tmp_path, side):
    """Patches lie inside the picture, so that they show its middle, where objects are, more often than its rim."""
    rng, examples = np.random.default_rng(side), []
    for number in range(1, 7):
        truth = np.zeros((1, 96, 96), np.uint8)
        row, column = rng.integers(40, 56, 2)
        truth[0, row - 3 : row + 3, column - 3 : column + 3] = 1
        known = truth if number <= 3 else None
        slices = ((0, 0),) if number <= 3 else ()
        examples.append(example(tmp_path, number, truth * np.uint8(200), known, slices=slices))
    cases = [ImageReader(each, Classes((1,)), 1) for each in examples]
    plan = replace(plan_of(spec_of(tmp_path, examples)), patch=(side, side))
    pools = Pools(cases, Classes((1,)), plan, np.random.default_rng(0))
    gate = Gate(0.5, 0.0, 0.5, pools.foreground_share(), 0.9)
    for _ in range(30):
        drawn = pools.unlabelled(16)
        gate.watch(replace(drawn, y=(drawn.x[:, 0] > 0.5).long(), w=drawn.v), 0.5)
    assert gate.closed is None
    for _ in range(30):
        drawn = pools.unlabelled(16)
        gate.watch(replace(drawn, y=torch.ones_like(drawn.y), w=drawn.v), 0.5)
    assert gate.closed is not None and gate.closed.startswith(
        "pseudo-labels were left out from 50% of the round on"
    )


def test_a_class_added_later_joins_without_the_others_forgetting(tmp_path):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    first = run(spec_of(tmp_path, examples, steps=3))
    spec = read_card(first.model).network
    state = load_state(first.model, replace(spec, classes=3), (7, 1), "cpu")
    old = load_state(first.model, spec, (1,), "cpu")
    assert torch.equal(state.teacher.head.weight[2], old.teacher.head.weight[1])
    assert torch.equal(state.teacher.head.weight[0], old.teacher.head.weight[0])
    other = NetworkSpec(2, 1, 2, (8, 16), ((2, 2),))
    assert load_state(first.model, other, (1,), "cpu") is None
    assert (old.steps, state.steps) == (3, 0)  # what is new begins at the full rate


def test_a_torn_image_is_left_out_and_named(tmp_path):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    examples[1].pixels.write_bytes(b"torn")
    result = run(spec_of(tmp_path, examples, steps=2))
    assert "image 2 cannot be read" in result.notes[0] and {s.image_id for s in result.predicted} == {1, 3, 4}


def test_when_everything_is_held_out_the_round_says_what_to_label(tmp_path):
    with pytest.raises(Unready, match="label one more image"):
        run(spec_of(tmp_path, discs(tmp_path, 2, labelled=0, held=2), steps=2))


def test_memory_that_does_not_suffice_makes_the_round_smaller_and_says_so(tmp_path, monkeypatch):
    from learners.rounds import train as module

    plans = []
    real = module.train

    def greedy(job, state):
        plans.append(job.plan)
        if len(plans) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(job, state)

    monkeypatch.setattr(module, "train", greedy)
    result = run(spec_of(tmp_path, discs(tmp_path, 4, labelled=3, held=1), steps=2))
    assert [p.batch for p in plans] == [4, 2, 1] and "memory ran out" in result.notes[0]


def test_a_stop_file_ends_training_and_the_round_still_proposes(tmp_path):
    examples = discs(tmp_path, 4, labelled=3, held=1)
    spec = spec_of(tmp_path, examples, steps=None, seconds=600)
    from learners.training import trainer

    def stop_soon(step, *_):
        if step > 2:
            (spec.directory / "stop").touch()

    real = trainer.train
    import learners.rounds.train as module

    def stopping(job, state):
        return real(replace(job, report=stop_soon), state)

    module.train, before = stopping, module.train
    try:
        result = run(spec)
    finally:
        module.train = before
    assert 2 < result.steps < 60 and classes_file(spec.directory, 1).exists()
    assert read_progress(spec.directory).phase == "predicting" and result.remaining == 3
