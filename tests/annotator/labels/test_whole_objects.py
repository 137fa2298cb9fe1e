"""An object that was prompted in a whole volume becomes labels: one act, what is locked or of others stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.labels.commit import Refused
from annotator.labels.undoing import without_members
from annotator.protocol.frames import BadFrame, encode_runs
from annotator.protocol.incoming import LabelMessage, UndoMessage, VolumeMessage
from annotator.workflow import Workflow
from storage.arrays import UNLABELLED
from tests.support.asgi_client import small_workflow

SHAPE = (9, 17, 23)
BOX = (2, 5, 3, 8, 4, 10)
MASK = np.ones((3, 5, 6), np.bool_)
MASK[:, 0, 0] = False


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


def bits(mask: np.ndarray) -> bytes:
    return np.packbits(mask, bitorder="little").tobytes()


def said(id: str = "one", **more: Any) -> VolumeMessage:
    fields: dict[str, Any] = {"axis": 0, "index": 3, "box": BOX, "value": 1, "base_rev": 0}
    return VolumeMessage(t="volume", id=id, image=1, **(fields | more))


def stroke(workflow: Workflow, user: str, value: int = 1, index: int = 3, instance: int = 0) -> None:
    rev = workflow.store.newest_label(1)
    classes = np.full((2, 3), value, np.uint8)
    fields: dict[str, Any] = {"axis": 0, "index": index, "box": (4, 5, 6, 8), "source": "drawn"}
    message = LabelMessage(t="label", id=f"s{user}", image=1, base_rev=rev, instance=instance, **fields)
    workflow.commit(user, message, encode_runs(classes))


def known(workflow: Workflow) -> np.ndarray:
    return workflow.folds.get(1).known()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_it_is_one_act_along_any_axis_that_undo_takes_back(workflow: Workflow, axis: int):
    index = (3, 5, 6)[axis]
    told = workflow.commit("ann", said(axis=axis, index=index, prompts={"model": "x"}), bits(MASK)).ack
    expected = np.full(SHAPE, UNLABELLED, np.uint8)
    expected[2:5, 3:8, 4:10][MASK] = 1
    np.testing.assert_array_equal(known(workflow), expected)
    assert told["voxels"] == MASK.sum() and told["slices"] == MASK.shape[axis]
    rows = workflow.store.labels(1)
    assert {row.source for row in rows if row.index != index} == {"accepted"}
    assert [row.source for row in rows if row.index == index] == ["prompted"]
    acts = without_members(workflow.store.history.of("ann")[0])
    assert [(act.client_id, act.act) for act in acts] == [("one", "prompted")]
    again = workflow.commit("ann", said(axis=axis, index=index), bits(MASK)).ack  # it was sent twice
    assert again == told and len(workflow.store.labels(1)) == len(rows)
    workflow.commit("ann", UndoMessage(t="undo", id="two", target="one"), b"")
    assert (known(workflow) == UNLABELLED).all()
    workflow.commit("ann", UndoMessage(t="redo", id="three", target="one"), b"")
    np.testing.assert_array_equal(known(workflow), expected)


def test_locked_classes_and_what_others_said_meanwhile_stay(workflow: Workflow):
    workflow.store.add_class("two")
    stroke(workflow, "ann", value=2)
    told = workflow.commit("ann", said(keep=(2,)), bits(MASK)).ack
    assert told["conflict"] is None and (known(workflow)[3, 4:6, 5:8] == 2).all()
    seen = workflow.store.newest_label(1)
    stroke(workflow, "bob", value=2, index=4)
    told = workflow.commit("ann", said("more", base_rev=seen), bits(MASK)).ack
    assert told["conflict"] == {"by": "bob", "pixels": 6} and (known(workflow)[4, 4:6, 5:8] == 2).all()
    assert (known(workflow)[3, 4:6, 5:8] == 1).all()  # one's own is drawn over


def test_a_numbered_object_gets_one_number_and_keeps_off_others(workflow: Workflow):
    stroke(workflow, "ann", instance=1)
    told = workflow.commit("ann", said(instance=-1, apart=True), bits(MASK)).ack
    numbers = workflow.folds.get(1).instances
    assert numbers is not None and told["instance"] == 2
    assert (numbers[3, 4:6, 5:8] == 1).all() and (numbers[2:5, 3:8, 4:10] == 2).sum() == MASK.sum() - 6


def test_what_cannot_be_meant_is_refused_and_nothing_is_written(workflow: Workflow):
    for message, payload, sentence in [
        (said(box=(2, 5, 3, 8, 4, 99)), bits(MASK), "outside the volume"),
        (said(value=7), bits(MASK), "not in this project"),
        (said(), bits(np.zeros_like(MASK)), "nothing changed"),
    ]:
        with pytest.raises(Refused, match=sentence):
            workflow.commit("ann", message, payload)
    with pytest.raises((Refused, BadFrame), match="is 12 bytes"):
        workflow.commit("ann", said(), b"\xff")
    assert not workflow.store.labels(1)
