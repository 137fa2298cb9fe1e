"""Rounds as rows: what survives a crash, what is held out, what is swept away."""

import numpy as np
import pytest

from annotator.learning.quality.corrections import proposal_dice, whole_slices
from annotator.learning.round_inputs import RoundInputs
from annotator.learning.targets import target_volumes
from learners.training.targets import OPEN_BACKGROUND
from storage.arrays import UNLABELLED, SliceRef, write_npy
from storage.fold import fold
from storage.rounds import Correction, Finished
from storage.rows import NewLabel
from tests.conftest import ball, drawn

ONES = np.ones((2, 3), np.uint8)


@pytest.fixture
def rounds(store):
    store.add_class("one")
    store.add_class("two")
    rounds = store.rounds
    rounds.sweep()
    return rounds


def images(store, count):
    ids = []
    for seed in range(count):
        scan, _ = ball(seed=seed)
        ids.append(store.add_image(scan))
    return ids


def complete(ref, client="c"):
    return NewLabel(ref, None, client + str(ref), "ann")


def test_a_round_that_was_running_when_the_project_closed_is_lost_and_says_so(store, rounds):
    row = rounds.start("supervised", 0)
    again = store.rounds
    again.sweep()
    assert again.get(row.id).status == "lost" and "starts again" in again.get(row.id).error
    assert not rounds.folder(row.id).exists()


def test_the_directories_of_the_kept_model_the_last_training_and_the_last_round_survive_and_no_others(
    store, rounds
):
    kinds = ("train", "train", "train", "predict")
    first, second, third, last = made = [rounds.start("supervised", 0, kind) for kind in kinds]
    rounds.finish(first.id, Finished(first.id, 0.8, 0.8, None, {"seconds": 3.0}))
    assert rounds.worse("supervised") == []
    for worse in (second, third):
        rounds.finish(worse.id, Finished(first.id, 0.8, 0.7, 0.8, {"seconds": 4.0}))
    rounds.finish(last.id, Finished(first.id, 0.8, None, 0.8))
    rounds.tidy()
    assert rounds.model("supervised") == rounds.folder(first.id)
    assert rounds.worse("supervised") == [second.id, third.id]
    assert [row for row in made if rounds.folder(row.id).exists()] == [first, third, last]
    assert rounds.trained_seconds("supervised", 0) == 11.0


def test_tries_count_only_since_the_last_round_that_ended(store, rounds):
    for _ in range(2):
        rounds.lose(rounds.start("supervised", 5).id, "gone")
    assert rounds.tries("supervised", 5) == 2 and rounds.tries("supervised", 6) == 0
    rounds.fail(rounds.start("supervised", 5).id, "no")
    assert rounds.tries("supervised", 5) == 0


def test_images_without_a_proposal_come_first_and_fresh_ones_not_at_all(store, rounds):
    from storage.predictions import NewPrediction

    ids = images(store, 3)
    empty = np.zeros(ball()[1].shape, np.uint8)
    for image_id, seen in ((ids[0], 4), (ids[1], 7)):
        store.predictions.add(NewPrediction(image_id, "supervised", "predicted", seen, empty, empty))
    assert rounds.unpredicted("supervised", 7) == [ids[2], ids[0]]
    assert rounds.unpredicted("supervised", 8) == [ids[2], ids[0], ids[1]]


def test_from_four_labelled_images_on_the_newest_is_held_out_and_stays_so(store, rounds):
    ids = images(store, 7)
    inputs = RoundInputs(store, rounds)
    for image_id in ids[:3]:
        store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    inputs.build("supervised", 0)
    assert rounds.held_out() == set()
    store.add_label(drawn(SliceRef(ids[3], 0, 4), ONES))
    built = inputs.build("supervised", 0)
    assert rounds.held_out() == {(ids[3], -1, -1)}
    assert [e.all_held for e in built.examples] == [False] * 3 + [True] + [False] * 3
    for image_id in ids[4:]:
        store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    inputs.build("supervised", 0)
    assert rounds.held_out() == {(ids[3], -1, -1)}


def test_what_a_round_has_trained_on_is_not_chosen_later(store, rounds):
    ids = images(store, 13)
    inputs = RoundInputs(store, rounds)
    for image_id in ids[:5]:
        store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    inputs.build("supervised", 0)
    for image_id in ids[5:12]:
        store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    rounds.start("supervised", store.newest_label())
    inputs.build("supervised", 0)
    assert len(rounds.held_out()) == 1
    store.add_label(drawn(SliceRef(ids[12], 0, 4), ONES))
    inputs.build("supervised", 0)
    assert (ids[12], -1, -1) in rounds.held_out() and len(rounds.held_out()) == 2


def test_with_one_volume_a_labelled_slice_is_held_out(store, rounds):
    (image_id,) = images(store, 1)
    for index in range(6):
        store.add_label(drawn(SliceRef(image_id, 0, index), ONES))
    built = RoundInputs(store, rounds).build("supervised", 0)
    assert built.examples[0].held == ((0, 5),) and not built.examples[0].all_held


def test_an_unchanged_image_is_not_folded_again(store, rounds):
    ids = images(store, 2)
    for image_id in ids:
        store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    inputs = RoundInputs(store, rounds)
    first = inputs.build("supervised", 0)
    times = [e.known.stat().st_mtime_ns for e in first.examples]
    store.add_label(drawn(SliceRef(ids[1], 0, 5), ONES))
    second = inputs.build("supervised", 2)
    assert second.examples[0].known.stat().st_mtime_ns == times[0]
    assert second.examples[1].known != first.examples[1].known
    assert [e.fresh for e in second.examples] == [False, True]
    inputs.forget_old()
    assert not first.examples[1].known.exists() and second.examples[1].known.exists()


def test_what_was_taken_back_never_teaches_again(store, rounds):
    (image_id,) = images(store, 1)
    store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    kept = drawn(SliceRef(image_id, 0, 5), ONES)
    store.add_label(kept)
    inputs = RoundInputs(store, rounds)
    assert (np.load(inputs.build("supervised", 0).examples[0].known)[4] == 1).any()
    first = next(label for label in store.labels(image_id) if label.index == 4)
    store.revoke(first.client_id, client_id="undo", author="ann")
    known = np.load(inputs.build("supervised", 2).examples[0].known)
    assert (known[4] == UNLABELLED).all() and (known[5] == 1).any()


def test_background_of_a_slice_completed_before_a_class_came_is_open(store, rounds):
    (image_id,) = images(store, 1)
    store.add_label(drawn(SliceRef(image_id, 0, 2), ONES))
    store.add_label(complete(SliceRef(image_id, 0, 2)))
    store.add_label(drawn(SliceRef(image_id, 0, 3), ONES * 2))
    store.add_label(complete(SliceRef(image_id, 0, 3)))
    built = RoundInputs(store, rounds).build("supervised", 0)
    known = np.load(built.examples[0].known)
    assert built.late_ids == (2,) and built.class_ids == (1, 2)
    assert known[2, 0, 0] == 1 and known[2, 9, 9] == OPEN_BACKGROUND
    assert known[3, 0, 0] == 2 and known[3, 9, 9] == 0
    assert (known[4] == UNLABELLED).all()


def test_a_tight_box_says_its_class_and_nothing_about_its_pixels(store, rounds):
    (image_id,) = images(store, 1)
    label = drawn(SliceRef(image_id, 0, 2), np.full((4, 5), UNLABELLED, np.uint8), at=(3, 6))
    store.add_label(NewLabel(label.ref, label.patch, "b", "ann", prompts={"box_of": 2}))
    store.add_label(complete(label.ref))
    example = RoundInputs(store, rounds).build("supervised", 0).examples[0]
    (box,) = example.boxes
    assert (box.axis, box.index, box.value, box.box) == (0, 2, 2, (3, 6, 7, 11))
    known = target_volumes(example.shape, store.labels(image_id), rounds.first_use()).known
    assert (known[2, 3:7, 6:11] == UNLABELLED).all() and (known[2] != UNLABELLED).sum() == 17 * 23 - 20


def test_a_proposal_is_judged_only_where_people_spoke_after_it(store, rounds, tmp_path):
    (image_id,) = images(store, 1)
    shape = ball()[1].shape
    proposed = np.zeros(shape, np.uint8)
    proposed[4, :2, :2] = 1
    write_npy(tmp_path / "p.npy", proposed)
    store.add_label(drawn(SliceRef(image_id, 0, 4), ONES))
    store.add_label(complete(SliceRef(image_id, 0, 4)))
    stroke = drawn(SliceRef(image_id, 0, 5), ONES)
    store.add_label(stroke)
    labels = store.labels(image_id)
    known = fold(shape, labels).known()
    dice = proposal_dice(known, tmp_path / "p.npy", [1])
    assert dice == pytest.approx(2 * 4 / (4 + 12))
    whole = proposal_dice(
        whole_slices(known, {(row.axis, row.index) for row in labels}), tmp_path / "p.npy", [1]
    )
    assert whole == pytest.approx(2 * 4 / (4 + 6)), (
        "a stroke where something was wrong says nothing about the rest"
    )
    assert proposal_dice(fold(shape, []).known(), tmp_path / "p.npy", [1]) is None
    rounds.add_correction(Correction(image_id, "supervised", 3, 0.9, dice))
    rounds.add_correction(Correction(image_id, "supervised", 3, 0.9, 0.1))
    assert [c.dice for c in rounds.corrections("supervised")] == [dice]
