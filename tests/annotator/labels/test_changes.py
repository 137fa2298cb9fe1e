"""A change is taken as a whole or refused for good, and one that cannot be taken holds up nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import AcceptMessage, CompleteMessage, LabelMessage, UndoMessage
from annotator.workflow import Refused, Workflow
from storage.predictions import NewPrediction
from storage.store import Store
from tests.conftest import ROOT, ball
from tests.support.asgi_client import small_workflow

RUNS = encode_runs(np.ones((2, 3), np.uint8))
ACCEPT = {"t": "accept", "id": "all", "image": 1, "axis": 0, "lo": 2, "hi": 7}


@pytest.fixture
def workflow(tmp_path: Path):
    with small_workflow(tmp_path) as workflow:
        yield workflow


def label(id: str, base_rev: int = 0) -> LabelMessage:
    where = {"image": 1, "axis": 0, "index": 4, "box": (0, 0, 2, 3)}
    return LabelMessage.model_validate(
        {"t": "label", "id": id, "source": "drawn", "base_rev": base_rev, **where}
    )


def complete(id: str, on: bool) -> CompleteMessage:
    return CompleteMessage(t="complete", id=id, image=1, axis=0, index=4, on=on)


def propose(store: Store) -> None:
    truth = ball()[1].astype(np.uint8)
    store.predictions.add(NewPrediction(1, "x", "predicted", 1, truth, np.full(truth.shape, 255, np.uint8)))


def test_a_slice_that_two_people_completed_is_reopened_by_one_message(workflow: Workflow):
    workflow.commit("ann", complete("a", True), b"")
    workflow.commit("ann", UndoMessage(t="undo", id="u", target="a"), b"")
    workflow.commit("bob", complete("b", True), b"")
    workflow.commit("ann", UndoMessage(t="redo", id="r", target="a"), b"")
    workflow.commit("bob", complete("off", False), b"")
    assert workflow.store.slice_states(1) == []
    workflow.commit("bob", UndoMessage(t="undo", id="back", target="off"), b"")
    assert workflow.store.slice_states(1) == [(0, 4, "complete")]
    workflow.commit("ann", UndoMessage(t="undo", id="u2", target="a"), b"")
    assert workflow.store.slice_states(1) == [(0, 4, "complete")], "bob said it too"


def test_nobody_undoes_what_somebody_else_reopened(workflow: Workflow):
    workflow.commit("ann", complete("a", True), b"")
    workflow.commit("bob", complete("off", False), b"")
    with pytest.raises(Refused, match="no such step of yours") as refusal:
        workflow.commit("ann", UndoMessage(t="undo", id="u", target="off"), b"")
    assert not refusal.value.retry
    assert workflow.history("bob") == {"undo": [], "redo": []}


def test_over_a_torn_label_of_somebody_else_one_labels_anew(workflow: Workflow):
    workflow.commit("ann", label("a"), RUNS)
    (torn,) = workflow.store.labels(1)
    assert torn.path is not None
    torn.path.write_bytes(b"torn")
    outcome = workflow.commit("bob", label("b"), RUNS)
    assert outcome.ack["label"] and outcome.ack["conflict"] is None


def test_a_proposal_whose_file_is_torn_is_refused_once_and_for_good(workflow: Workflow):
    propose(workflow.store)
    row = workflow.store.predictions.newest(1)
    assert row is not None
    row.classes_path.write_bytes(b"torn")
    with pytest.raises(Refused) as refusal:
        workflow.commit("ann", AcceptMessage.model_validate(ACCEPT), b"")
    assert not refusal.value.retry and "cannot be read" in refusal.value.message
    workflow.commit("ann", label("next"), RUNS)


@pytest.mark.parametrize("first_on", [True, False])
def test_a_repeat_of_what_changed_nothing_changes_nothing_later_either(workflow: Workflow, first_on: bool):
    if first_on:
        workflow.commit("ann", complete("before", True), b"")
    told = workflow.commit("ann", complete("again", first_on), b"").ack
    workflow.commit("bob", complete("meanwhile", not first_on), b"")
    assert workflow.commit("ann", complete("again", first_on), b"").ack == told
    assert bool(workflow.store.slice_states(1)) is not first_on


KILLS = """
import json, os, signal, sys
from pathlib import Path
from annotator.prompting.service import PromptService
from annotator.protocol.incoming import parse_message
from annotator.workflow import Workflow
from storage.store import Store

project, message = Path(sys.argv[1]), parse_message(sys.argv[2].encode())


def commit(statements):
    left = statements

    def count(statement):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store = Store(project)
    workflow = Workflow(store, PromptService(store))
    workflow.folds.get(1)
    store._db._connection.set_trace_callback(count)
    workflow.commit("ann", message, b"")
    store._db._connection.set_trace_callback(None)
    workflow.close()


for statements in range(0, 1000, 3):
    if (child := os.fork()) == 0:
        commit(statements)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = Store(project)
    print(json.dumps([killed, len(store.labels(1)), store.answers.of(message.id)]), flush=True)
    store.close()
    if not killed:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor kill -9")
def test_an_acceptance_and_its_undo_survive_kill_9_as_a_whole_or_not_at_all(tmp_path: Path):
    """Killed at one statement after the other until nothing is left to kill; each try sends the same message again."""
    project = tmp_path / "project"
    store = Store(project)
    store.add_class("one")
    store.add_image(ball()[0])
    propose(store)
    store.close()
    for message, before, after in ((ACCEPT, 0, 5), ({"t": "undo", "id": "u", "target": "all"}, 5, 0)):
        tries = killed_again_and_again(project, message)
        assert sum(killed for killed, _, _ in tries) > 3
        for _, labels, answer in tries:
            assert (labels, answer is None) in ((before, True), (after, False))
        answers = [answer for _, _, answer in tries if answer is not None]
        assert answers.count(answers[0]) == len(answers) and answers[0]["slices"] == 5


def killed_again_and_again(project: Path, message: dict[str, Any]) -> list[tuple[bool, int, Any]]:
    """After each try: was it killed, how many labels are there, what was answered."""
    command = [sys.executable, "-c", KILLS, str(project), json.dumps(message)]
    run = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, timeout=120, check=True)
    return [tuple(json.loads(line)) for line in run.stdout.splitlines()]
