"""What a person can do, without a browser."""

import uuid
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.labels.commit import Refused
from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs, pack_bits, unpack_bits
from annotator.protocol.incoming import CompleteMessage, LabelMessage, PredictMessage, UndoMessage
from annotator.workflow import Workflow
from storage.arrays import ERASED, UNLABELLED, SliceRef, plane
from storage.store import Store
from tests.conftest import ball


@pytest.fixture
def workflow(store: Store) -> Iterator[Workflow]:
    store.add_class("one")
    store.add_class("two")
    store.add_image(ball()[0])
    workflow = Workflow(store, PromptService(store))
    yield workflow
    workflow.prompting.close()


def label(
    classes: NDArray[np.uint8], *, axis: int = 0, index: int = 4, at: tuple[int, int] = (0, 0), **more: Any
) -> tuple[LabelMessage, bytes]:
    box = (at[0], at[1], at[0] + classes.shape[0], at[1] + classes.shape[1])
    place: dict[str, Any] = {"image": 1, "axis": axis, "index": index, "box": box}
    rest: dict[str, Any] = {"source": "drawn", "base_rev": 0, "seconds": 1.5}
    return LabelMessage(t="label", id=uuid.uuid4().hex, **{**place, **rest, **more}), encode_runs(classes)


def step(kind: Literal["undo", "redo"], target: str) -> UndoMessage:
    return UndoMessage(t=kind, id=uuid.uuid4().hex, target=target)


def complete(index: int, on: bool = True) -> CompleteMessage:
    return CompleteMessage(t="complete", id=uuid.uuid4().hex, image=1, axis=0, index=index, on=on)


def region(outcome: Any) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    message, payload = next((m, p) for m, p in outcome.broadcasts if m["t"] == "region")
    z0, z1, y0, y1, x0, x1 = message["box"]
    shape = (z1 - z0, y1 - y0, x1 - x0)
    return message, np.frombuffer(payload, np.uint8, count=int(np.prod(shape))).reshape(shape)


TWOS = np.full((2, 3), 2, np.uint8)


def test_a_committed_label_is_acknowledged_shown_to_all_and_there_for_the_next_who_looks(workflow):
    outcome = workflow.commit("ann", *label(TWOS, axis=1, index=3, at=(2, 4)))
    assert outcome.ack["rev"] == outcome.ack["label"] == 1 and outcome.ack["conflict"] is None
    message, classes = region(outcome)
    assert message["box"] == [2, 4, 3, 4, 4, 7] and (classes == 2).all()
    known, rev = workflow.labels(1, 0, 9)
    assert rev == 1 and (known[2:4, 3, 4:7] == 2).all() and (known != UNLABELLED).sum() == 6
    assert workflow.image(1)["slices"] == [(1, 3, "labelled")]


def test_the_same_message_twice_is_one_label_with_the_same_answer(workflow):
    message, payload = label(TWOS)
    first, second = (workflow.commit("ann", message, payload).ack for _ in range(2))
    assert first["label"] == second["label"] and workflow.store.newest_label() == 1


def test_undo_brings_back_what_was_beneath_and_redo_lays_it_on_again(workflow):
    workflow.commit("ann", *label(np.ones((2, 2), np.uint8)))
    message, payload = label(TWOS)
    workflow.commit("ann", message, payload)
    _, classes = region(workflow.commit("ann", step("undo", message.id), b""))
    assert classes[0].tolist() == [[1, 1, UNLABELLED], [1, 1, UNLABELLED]]
    _, classes = region(workflow.commit("ann", step("redo", message.id), b""))
    assert (classes == 2).all()


def test_an_eraser_makes_voxels_unknown_again(workflow):
    workflow.commit("ann", *label(TWOS))
    workflow.commit("ann", *label(np.full((1, 2), ERASED, np.uint8)))
    assert workflow.labels(1, 4, 5)[0][0, 0, :4].tolist() == [UNLABELLED, UNLABELLED, 2, UNLABELLED]


def test_complete_makes_the_rest_of_one_slice_background_until_it_is_taken_back(workflow):
    workflow.commit("ann", *label(TWOS))
    outcome = workflow.commit("ann", complete(4), b"")
    assert (region(outcome)[1] != UNLABELLED).all()
    assert workflow.image(1)["slices"] == [(0, 4, "complete")]
    assert (workflow.labels(1, 3, 4)[0] == UNLABELLED).all()
    outcome = workflow.commit("bob", complete(4, on=False), b"")
    assert (region(outcome)[1] == UNLABELLED).sum() == 17 * 23 - 6
    assert workflow.image(1)["slices"] == [(0, 4, "labelled")]


def test_where_somebody_else_drew_meanwhile_theirs_stands_and_the_second_is_told(workflow):
    workflow.commit("ann", *label(np.ones((2, 2), np.uint8)))
    outcome = workflow.commit("bob", *label(TWOS, base_rev=0))
    assert outcome.ack["conflict"] == {"by": "ann", "pixels": 4}
    assert region(outcome)[1][0].tolist() == [[1, 1, 2], [1, 1, 2]]
    again = workflow.commit("bob", *label(TWOS, base_rev=outcome.ack["rev"]))
    assert again.ack["conflict"] is None and (region(again)[1] == 2).all()


def test_a_conflict_is_seen_across_planes(workflow):
    workflow.commit("ann", *label(np.ones((9, 23), np.uint8), axis=1, index=1))
    outcome = workflow.commit("bob", *label(TWOS, index=4))
    assert outcome.ack["conflict"] == {"by": "ann", "pixels": 3}
    assert region(outcome)[1][0].tolist() == [[2, 2, 2], [1, 1, 1]]


def test_ones_own_newer_labels_are_no_conflict(workflow):
    workflow.commit("ann", *label(np.ones((2, 2), np.uint8)))
    assert workflow.commit("ann", *label(TWOS, base_rev=0)).ack["conflict"] is None


def test_each_accepted_object_gets_the_next_free_number(workflow):
    numbers = [
        workflow.commit("ann", *label(TWOS, at=(0, 3 * n), instance=-1)).ack["instance"] for n in (0, 1)
    ]
    assert numbers == [1, 2]
    found, _ = workflow.instances(1, 4, 5)
    assert found[0, 0, :7].tolist() == [1, 1, 1, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": 9}, "there is no image 9"),
        ({"index": 9}, "9 slices along axis 0, no 9"),
        ({"box": (16, 0, 18, 3)}, "reaches outside its slice of 17 x 23"),
        ({"box": (0, 0, 2, 4)}, "the runs cover 6 pixels, the box has 8"),
        ({"source": "guessed"}, "a label's source is one of"),
    ],
)
def test_a_label_that_does_not_fit_is_refused_in_one_sentence(workflow, change, sentence):
    message, payload = label(TWOS)
    with pytest.raises(Refused, match=sentence) as refusal:
        workflow.commit("ann", message.model_copy(update=change), payload)
    assert not refusal.value.retry and workflow.store.newest_label() == 0


def test_a_class_that_never_was_is_refused(workflow):
    with pytest.raises(Refused, match="class 7 is not in this project"):
        workflow.commit("ann", *label(TWOS + 5))


def test_the_history_tells_what_one_can_take_back_after_a_restart(workflow):
    message, payload = label(TWOS)
    workflow.commit("ann", message, payload)
    said = {"id": message.id, "image": 1, "axis": 0, "index": 4, "act": message.source, "name": "ball"}
    assert workflow.history("ann")["undo"] == [said]
    workflow.commit("ann", step("undo", message.id), b"")
    assert [e["id"] for e in workflow.history("ann")["redo"]] == [message.id]
    assert workflow.history("bob") == {"undo": [], "redo": []}


def test_pixels_and_slices_are_those_of_the_volume(workflow):
    pixels = ball()[0].pixels
    np.testing.assert_array_equal(workflow.pixels(1, 2, 5), pixels[2:5])
    for axis in range(3):
        np.testing.assert_array_equal(workflow.slice(SliceRef(1, axis, 5)), plane(pixels, axis, 5))
    for z0, z1 in ((-1, 2), (3, 3), (0, 10)):
        with pytest.raises(LookupError, match="no slab"):
            workflow.pixels(1, z0, z1)


def predict(**more: Any) -> PredictMessage:
    place: dict[str, Any] = {"image": 1, "axis": 0, "index": 4, "window": (0, 255)}
    return PredictMessage(t="predict", seq=3, **{**place, "points": ((7.0, 9.0),), "labels": (1,), **more})


def test_a_click_finds_the_object_in_each_plane(workflow):
    truth = ball()[1]
    for axis, index, point in ((0, 4, (7, 9)), (1, 7, (4, 9)), (2, 9, (4, 7))):
        message, payload = workflow.predict(predict(axis=axis, index=index, points=(point,)), b"")
        first = message["candidates"][0]
        r0, c0, r1, c1 = first["box"]
        mask = np.zeros(plane(truth, axis, index).shape, bool)
        bits = payload[first["offset"] : first["offset"] + first["bytes"]]
        mask[r0:r1, c0:c1] = unpack_bits(bits, (r1 - r0, c1 - c0))
        wanted = plane(truth, axis, index) > 0
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.7, f"axis {axis}"
        assert message["seq"] == 3 and message["model"]


def test_a_mask_to_refine_must_fit_its_slice(workflow):
    mask = np.ones((4, 5), bool)
    message, _ = workflow.predict(predict(mask_box=(5, 7, 9, 12)), pack_bits(mask))
    assert message["candidates"]
    with pytest.raises(Refused, match="reaches outside its slice"):
        workflow.predict(predict(mask_box=(15, 7, 19, 12)), pack_bits(mask))


def test_a_volume_whose_file_is_gone_is_refused_not_fatal(workflow):
    workflow.store.image(1).path.unlink()
    with pytest.raises(Refused, match="import the image again"):
        workflow.predict(predict(), b"")
