"""Classes come and go without any label losing its name: merged, deleted with their labels, numbers used again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from annotator.labels.tagging import Tagging
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import AcceptMessage, LabelMessage, UndoMessage
from annotator.workflow import Refused, Workflow
from storage.arrays import BACKGROUND, UNLABELLED, SliceRef
from storage.predictions import NewPrediction
from storage.tags import NewTag, TagBatch
from tests.conftest import ball
from tests.support.asgi_client import live, small_app, small_workflow, visit

HIGHEST = 253


@pytest.fixture
def workflow(tmp_path: Path):
    with small_workflow(tmp_path) as workflow:
        workflow.store.add_class("two")
        yield workflow


def say(workflow: Workflow, id: str, value: int, box: tuple[int, ...] = (0, 0, 2, 3), **more: Any) -> None:
    said = {
        "t": "label",
        "id": id,
        "image": 1,
        "axis": 0,
        "index": 4,
        "box": box,
        "source": "drawn",
        "base_rev": 0,
    }
    runs = encode_runs(np.full((box[2] - box[0], box[3] - box[1]), value, np.uint8))
    workflow.commit("ann", LabelMessage.model_validate({**said, **more}), runs)


def undo(workflow: Workflow, target: str, t: Any = "undo") -> bool:
    return workflow.commit("ann", UndoMessage(t=t, id=f"{t}-{target}", target=target), b"").classes_changed


def known(workflow: Workflow) -> NDArray[np.uint8]:
    return workflow.labels(1, 4, 5)[0][0]


def names(workflow: Workflow) -> list[str]:
    return [c.name for c in workflow.store.classes()]


def test_a_class_goes_once_no_voxel_carries_it_and_comes_back_when_one_does_again(workflow: Workflow):
    say(workflow, "a", 1)
    with pytest.raises(ValueError, match="pixels of ball carry this class; merge 'one' into another class"):
        workflow.edit_classes("ann", {"op": "remove", "id": 1})
    say(workflow, "b", 2)
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    assert names(workflow) == ["two"]
    assert undo(workflow, "b"), "the page hears of it"
    assert (known(workflow)[:2, :3] == 1).all() and names(workflow) == ["one", "two"]


def test_a_redo_brings_the_class_back_that_was_removed_meanwhile(workflow: Workflow):
    say(workflow, "a", 1)
    undo(workflow, "a")
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    assert undo(workflow, "a", "redo") and names(workflow) == ["one", "two"]


def test_a_redo_of_what_was_deleted_with_its_class_says_so_and_does_nothing(workflow: Workflow):
    say(workflow, "a", 1)
    undo(workflow, "a")
    workflow.edit_classes("ann", {"op": "delete", "id": 1})
    with pytest.raises(Refused, match="the class of that step was deleted with its labels"):
        undo(workflow, "a", "redo")
    workflow.repair.undo("ann", workflow.store.acts.newest()[0].id)
    assert not (known(workflow) == 1).any()
    undo(workflow, "a", "redo")
    assert (known(workflow)[:2, :3] == 1).all()


def test_a_late_stroke_of_a_class_that_is_gone_is_refused_once(workflow: Workflow):
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    with pytest.raises(Refused, match="the class “one” was removed; add it again") as refusal:
        say(workflow, "late", 1)
    assert not refusal.value.retry


def test_what_is_proposed_of_a_class_that_is_gone_is_not_accepted(workflow: Workflow):
    truth = ball()[1].astype(np.uint8)
    sure = np.full(truth.shape, 255, np.uint8)
    workflow.store.predictions.add(NewPrediction(1, "x", "predicted", 1, truth, sure))
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    accept = {"t": "accept", "id": "all", "image": 1, "axis": 0, "lo": 4, "hi": 5}
    workflow.commit("ann", AcceptMessage.model_validate(accept), b"")
    assert set(np.unique(known(workflow))) == {BACKGROUND, UNLABELLED}


def test_a_merged_class_is_the_other_one_everywhere_and_one_undo_parts_them(workflow: Workflow):
    say(workflow, "a", 1)
    say(workflow, "b", 2, box=(4, 4, 6, 6))
    workflow.store.tags.add([NewTag(SliceRef(1, 0, 0), (1,), True)], TagBatch("t", "ann"))
    edited = workflow.edit_classes("ann", {"op": "merge", "id": 1, "into": 2})
    assert edited.images == {1} and names(workflow) == ["two"]
    assert (known(workflow)[:2, :3] == 2).all() and (known(workflow)[4:6, 4:6] == 2).all()
    assert Tagging(workflow.store).known()[1, 0, 0].present == {2: True}
    assert workflow.store.rounds.first_use() == {2: workflow.store.find_label("a")}
    assert workflow.history("ann")["undo"][-1]["id"] == "b", "an undo of strokes does not take a merge apart"
    say(workflow, "c", 2, box=(8, 8, 9, 9))
    undo(workflow, "b")
    undo(workflow, "b", "redo")
    assert (known(workflow)[4:6, 4:6] == 2).all()


def test_a_class_deleted_with_its_labels_shows_what_was_said_before_them(workflow: Workflow):
    say(workflow, "beneath", 2, box=(0, 0, 2, 2))
    say(workflow, "above", 1, box=(0, 0, 2, 3))
    workflow.edit_classes("ann", {"op": "delete", "id": 1})
    assert (known(workflow)[:2, :2] == 2).all() and (known(workflow)[:2, 2] == UNLABELLED).all()
    assert names(workflow) == ["two"] and workflow.store.rounds.first_use().keys() == {2}


def test_numbers_that_no_label_carries_are_used_again(workflow: Workflow):
    say(workflow, "kept", 2)
    for n in range(3, HIGHEST + 1):
        class_id = workflow.store.add_class(f"c{n}").id
        workflow.edit_classes("ann", {"op": "remove", "id": class_id})
    again = workflow.store.add_class("again")
    assert again.id == 3 and names(workflow) == ["one", "two", "again"]
    with pytest.raises(Refused, match="before there was the class “again”"):
        say(workflow, "late", 3, made=workflow.store.class_rows.get(2).made)
    say(workflow, "now", 3, made=again.made)


def test_a_step_of_a_class_whose_number_is_another_by_now_is_not_redone(workflow: Workflow):
    for n in range(3, HIGHEST + 1):
        workflow.store.add_class(f"c{n}")
        say(workflow, f"s{n}", n)
        undo(workflow, f"s{n}")
    for n in range(3, HIGHEST + 1):
        workflow.edit_classes("ann", {"op": "remove", "id": n})
    assert workflow.store.add_class("other").id == 3, "no living label names it"
    with pytest.raises(Refused, match="'other' has its number now"):
        undo(workflow, "s3", "redo")
    assert (known(workflow) == UNLABELLED).all()


def test_a_name_that_a_removed_class_had_is_free(workflow: Workflow):
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    workflow.edit_classes("ann", {"op": "rename", "id": 2, "name": "one"})
    assert names(workflow) == ["one"]


def test_an_edit_sent_twice_is_done_once_and_tabs_on_the_image_read_anew(workflow: Workflow):
    with visit(small_app(workflow)) as client, live(client) as tab:
        say(workflow, "a", 1)
        tab.send({"t": "open", "image": 1})
        tab.wait("presence")
        merge = {"op": "merge", "id": 1, "into": 2, "key": "k1"}
        first = client.post("/api/classes", json=merge)
        assert first.status_code == 200 and [c["name"] for c in first.json()] == ["two"]
        assert client.post("/api/classes", json=merge).json() == first.json()
        assert client.post("/api/classes", json={**merge, "key": "k2"}).status_code == 404


def test_a_class_is_objects_or_an_area_from_its_making_on_and_may_change(workflow: Workflow):
    said = workflow.edit_classes("ann", {"op": "add", "name": "cell", "objects": True}).classes
    assert [one["objects"] for one in said] == [False, False, True]
    cell = said[-1]["id"]
    workflow.edit_classes("ann", {"op": "remove", "id": cell})
    assert workflow.edit_classes("ann", {"op": "add", "name": "cell"}).classes[-1]["objects"], "as it was"
    said = workflow.edit_classes("ann", {"op": "objects", "id": 1, "objects": True}).classes
    assert [one["objects"] for one in said] == [True, False, True]
    with pytest.raises(LookupError):
        workflow.edit_classes("ann", {"op": "objects", "id": 99, "objects": True})


def test_of_a_proposal_the_objects_of_counted_classes_alone_get_numbers(workflow: Workflow):
    classes = np.zeros(workflow.store.image(1).shape, np.uint8)
    classes[4, 2:6, 2:6], classes[4, 2:6, 10:14], classes[4, 9:12, 2:6] = 1, 1, 2
    objects = np.zeros(classes.shape, np.uint16)
    objects[classes > 0] = 40  # as a producer told all three apart
    objects[4, 2:6, 10:14], objects[4, 9:12] = 41, 0
    sure = np.full(classes.shape, 255, np.uint8)
    workflow.store.predictions.add(NewPrediction(1, "x", "predicted", 1, classes, sure, objects=objects))
    about = {"t": "accept", "id": "a", "image": 1, "axis": 0, "lo": 4, "hi": 5, "number": (1,)}
    workflow.commit("ann", AcceptMessage.model_validate(about), b"")
    numbers = workflow.instances(1, 4, 5)[0][0]
    assert sorted(np.unique(numbers[classes[4] == 1]).tolist()) == [1, 2]
    assert not numbers[classes[4] == 2].any()
    undo(workflow, "a")
    workflow.commit("ann", AcceptMessage.model_validate({**about, "id": "b", "number": (2,)}), b"")
    numbers = workflow.instances(1, 4, 5)[0][0]
    assert numbers[classes[4] == 2].all() and not numbers[classes[4] == 1].any()
