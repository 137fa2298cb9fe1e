"""Clearing a slice or an image: everything said there goes in one act, and one undo brings it again."""

from pathlib import Path

import pytest

from annotator.labels.commit import Refused
from annotator.protocol.incoming import ClearMessage, CompleteMessage, UndoMessage
from annotator.workflow import Workflow
from storage.arrays import UNLABELLED, SliceRef
from tests.conftest import ball, drawn
from tests.support.asgi_client import small_workflow


def labelled(workflow: Workflow) -> None:
    """By ann: two slices drawn and one complete; by bob: a stroke on one of them."""
    truth = ball()[1]
    workflow.store.add_label(drawn(SliceRef(1, 0, 4), truth[4], author="ann"))
    workflow.store.add_label(drawn(SliceRef(1, 0, 5), truth[5], author="ann"))
    workflow.commit("ann", CompleteMessage(t="complete", id="k", image=1, axis=0, index=4, on=True), b"")
    workflow.store.add_label(drawn(SliceRef(1, 0, 4), truth[4], author="bob"))
    workflow.folds.forget(1)


def clear(id: str, rev: int, index: int | None) -> ClearMessage:
    return ClearMessage(t="clear", id=id, image=1, axis=0, index=index, base_rev=rev)


@pytest.mark.parametrize("index", [4, None])
def test_all_is_taken_back_as_one_act_and_one_undo_brings_it_again(tmp_path: Path, index: int | None) -> None:
    with small_workflow(tmp_path) as workflow:
        labelled(workflow)
        before, rev = workflow.labels(1, 0, 9)
        outcome = workflow.commit("ann", clear("c", rev, index), b"")
        assert outcome.ack["cleared"] == (4 if index is None else 3)
        assert (workflow.labels(1, 0, 9)[0][4] == UNLABELLED).all()
        states = outcome.broadcasts[-1][0]
        assert states["slices"] == ([] if index is None else [[0, 5, "labelled"]])
        history = workflow.history("ann")
        assert [e["act"] for e in history["undo"]][-1] == "cleared" and history["redo"] == []
        workflow.commit("ann", UndoMessage(t="undo", id="u", target="c"), b"")
        assert (workflow.labels(1, 0, 9)[0] == before).all()
        history = workflow.history("ann")
        assert [e["id"] for e in history["redo"]] == ["c"] and "c" not in [e["id"] for e in history["undo"]]
        workflow.commit("ann", UndoMessage(t="redo", id="r", target="c"), b"")
        assert (workflow.labels(1, 0, 9)[0][4] == UNLABELLED).all()


def test_what_somebody_else_said_since_stays(tmp_path: Path) -> None:
    with small_workflow(tmp_path) as workflow:
        labelled(workflow)
        bobs = workflow.store.labels(1)[-1].id
        workflow.commit("ann", clear("c", bobs - 1, 4), b"")
        assert [row.id for row in workflow.store.labels(1) if row.index == 4] == [bobs]


def test_where_nothing_was_said_nothing_is_cleared(tmp_path: Path) -> None:
    with small_workflow(tmp_path) as workflow:
        labelled(workflow)
        with pytest.raises(Refused, match="no label was made here"):
            workflow.commit("ann", clear("c", 99, 7), b"")
