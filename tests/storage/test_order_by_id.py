"""A clock that is set back changes what is shown as time, and the order of nothing."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.prompting.service import PromptService
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import CompleteMessage, LabelMessage, UndoMessage
from annotator.workflow import Workflow
from storage.predictions import NewPrediction
from storage.rounds import Finished
from storage.store import Store
from tests.conftest import ROOT, ball

COLUMNS = """select m.name as "table", p.name as "column" from sqlite_master m, pragma_table_info(m.name) p
             where m.type = 'table' and p.name like '%\\_at' escape '\\' and m.name not like '%migrations'"""


def said(folder: Path) -> Workflow:
    """Two people have spoken over one another, taken back, completed; a fill and two rounds came."""
    store = Store(folder / "project")
    store.add_class("one")
    store.add_class("two")
    for seed in range(3):
        store.add_image(ball(seed=seed)[0])
    workflow = Workflow(store, PromptService(store))
    about: dict[str, Any] = {"image": 1, "axis": 0, "index": 4}
    for at, (user, value) in enumerate((("ann", 1), ("bob", 2), ("ann", 2), ("bob", 1))):
        label = LabelMessage(
            **about, id=f"{at}" * 32, t="label", box=(at, at, at + 6, at + 7), source="drawn", base_rev=9
        )
        workflow.commit(user, label, encode_runs(np.full((6, 7), value, np.uint8)))
    workflow.commit("bob", UndoMessage(t="undo", id="a" * 32, target="3" * 32), b"")
    workflow.commit("ann", CompleteMessage(**about, id="b" * 32, t="complete", on=True), b"")
    for value in (1, 0):
        classes = np.full((9, 17, 23), value, np.uint8)
        store.predictions.add(NewPrediction(2, "x", "predicted", 1, classes, np.full_like(classes, 200)))
        row = store.rounds.start("supervised", 1)
        store.rounds.finish(row.id, Finished(row.id, 0.5 + value / 10, None, None, {"seconds": 1}))
        store.image_states.set_trait(3 - value, "first", True, "ann")
    workflow.edit_classes("ann", {"op": "merge", "id": 2, "into": 1})
    return workflow


def seen(workflow: Workflow) -> dict[str, Any]:
    store = workflow.store
    newest = store.rounds.newest("supervised")
    prediction = store.predictions.newest(2, "x")
    assert newest and prediction
    return {
        "labels": workflow.labels(1, 0, 9)[0].tolist(),
        "history": [workflow.history(user) for user in ("ann", "bob")],
        "acts": [act.id for act in store.acts.newest()],
        "rounds": [row.id for row in store.rounds.of("supervised")] + [newest.id],
        "prediction": prediction.id,
        "first": store.image_states.with_trait("first"),
        "images": [row.id for row in store.images()[1]],
    }


def test_nothing_changes_its_order_when_every_time_is_turned_round(tmp_path: Path):
    workflow = said(tmp_path)
    before = seen(workflow)
    timed, turned = workflow.store._db.rows(COLUMNS), 0
    with workflow.store._db.transaction() as tables:
        for row in timed:
            change = "datetime('2030-01-01', '-' || rowid || ' days')"
            done = tables.execute(f"update {row['table']} set {row['column']} = {change}")
            turned += done.rowcount
    assert len(timed) > 8
    assert turned > 15
    workflow.close()
    again = Store(tmp_path / "project")
    workflow = Workflow(again, PromptService(again))
    try:
        assert seen(workflow) == before
    finally:
        workflow.close()


@pytest.mark.parametrize("package", ["storage", "annotator", "learners"])
def test_no_query_orders_by_a_time(package: str):
    by_time = re.compile(r"(order\s+by[^\"]*|max\(|min\(|newest\W+by\W+)\b\w+_at\b", re.IGNORECASE)
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if by_time.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
