"""Objects merged, split, deleted, given a class or numbers: one act in the whole volume, undone as one."""

import uuid
from typing import Any

import numpy as np
import pytest

from annotator.labels.changes import Changes
from annotator.labels.commit import Refused
from annotator.labels.label_cache import LabelCache
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import AcceptMessage, ObjectsMessage, UndoMessage
from storage.arrays import BACKGROUND, UNLABELLED, Box, Patch, SliceRef
from storage.fold import Folded
from storage.predictions import NewPrediction
from storage.rows import NewLabel
from storage.scan import Scan
from storage.store import Store

SHAPE = (3, 12, 16)


class Desk:
    """A volume with two numbered bars, A (1) and B (2), which touch at column 8, and a bare one below them."""

    def __init__(self, store: Store) -> None:
        self.store, self.folds = store, LabelCache(store)
        self.changes = Changes(store, self.folds)
        for name in ("cell", "debris"):
            store.add_class(name)
        self.image = store.add_image(Scan("v", np.zeros(SHAPE, np.uint8), (2.0, 1.0, 1.0), None))
        classes = np.full(SHAPE[1:], UNLABELLED, np.uint8)
        classes[2:6, 2:14] = classes[8:11, 2:6] = 1
        numbers = np.zeros(SHAPE[1:], np.uint16)
        numbers[2:6, 2:8], numbers[2:6, 8:14] = 1, 2
        for k in range(SHAPE[0]):
            patch = Patch(Box(0, 0, *SHAPE[1:]), classes, numbers)
            store.add_label(NewLabel(SliceRef(self.image, 0, k), patch, f"begin{k}", "ann"))

    @property
    def folded(self) -> Folded:
        return self.folds.get(self.image)

    def do(self, what: str, *at: tuple[int, int, int], user: str = "ann", **rest: Any) -> str:
        about = {"image": self.image, "axis": 0, "index": 1, "base_rev": self.store.newest_label()}
        message = {"t": "objects", "id": uuid.uuid4().hex, **about, "do": what, "at": at, **rest}
        self.changes.take(user, ObjectsMessage.model_validate(message), b"")
        return str(message["id"])

    def undo(self, target: str) -> None:
        self.changes.take("ann", UndoMessage(t="undo", id=uuid.uuid4().hex, target=target), b"")


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


A, B, BARE = (1, 3, 3), (1, 3, 10), (1, 9, 3)


def test_merged_objects_have_the_smaller_number_in_every_slice_until_it_is_undone(desk: Desk) -> None:
    assert desk.folded.instances is not None
    before = desk.folded.instances.copy()
    done = desk.do("merge", B, A)
    assert np.unique(desk.folded.instances[:, 2:6, 2:14]).tolist() == [1]  # type: ignore[index]
    desk.undo(done)
    assert np.array_equal(desk.folds.get(desk.image).instances, before)  # type: ignore[arg-type]


def test_a_bare_piece_takes_the_number_of_what_it_is_merged_with(desk: Desk) -> None:
    desk.do("merge", BARE, B)
    assert np.unique(desk.folded.instances[:, 8:11, 2:6]).tolist() == [2]  # type: ignore[index]


def test_a_split_keeps_the_number_of_the_larger_part_through_the_volume(desk: Desk) -> None:
    desk.do("split", A, line=(0.0, 3.5, 11.0, 3.5))
    numbers = desk.folded.instances
    assert numbers is not None
    assert np.unique(numbers[:, 2:6, 4:8]).tolist() == [1]
    assert np.unique(numbers[:, 2:6, 2:4]).tolist() == [3], "a number that nothing has"
    assert np.unique(numbers[:, 2:6, 8:14]).tolist() == [2], "the neighbour stays"
    desk.do("split", BARE, line=(9.4, 0.0, 9.4, 15.0))
    assert sorted(np.unique(desk.folded.instances[:, 8:11, 2:6]).tolist()) == [4, 5]  # type: ignore[index]


def test_an_object_without_a_line_is_split_at_its_neck_and_the_largest_part_keeps_the_number(
    desk: Desk,
) -> None:
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    both = ((y - 5) ** 2 + (x - 4) ** 2 <= 12) | ((y - 5) ** 2 + (x - 11) ** 2 <= 16)
    patch = Patch(
        Box(0, 0, *SHAPE[1:]), np.where(both, 2, 0).astype(np.uint8), np.where(both, 7, 0).astype("u2")
    )
    desk.folds.add(desk.store.add_label(NewLabel(SliceRef(desk.image, 0, 1), patch, "two", "ann")), patch)
    desk.do("split", (1, 5, 11))
    numbers = desk.folded.instances[1]  # type: ignore[index]
    assert set(np.unique(numbers)) == {0, 7, 8} and numbers[5, 11] == 7 and numbers[5, 4] == 8
    with pytest.raises(Refused, match="no neck"):
        desk.do("split", (1, 5, 4))


def test_holes_of_an_object_are_filled_but_not_over_another_object(desk: Desk) -> None:
    ring = np.full(SHAPE[1:], UNLABELLED, np.uint8)
    ring[1:8, 1:12] = 1
    ring[3:6, 3:10] = 0
    ring[4, 4] = 2
    patch = Patch(Box(0, 0, *SHAPE[1:]), ring, np.where(ring == 1, 5, 0).astype(np.uint16))
    desk.folds.add(desk.store.add_label(NewLabel(SliceRef(desk.image, 0, 1), patch, "ring", "ann")), patch)
    done = desk.do("holes", (1, 1, 1))
    inside = desk.folded.classes[1, 3:6, 3:10]
    assert inside[1, 1] == 2 and (inside == 1).sum() == inside.size - 1
    assert (desk.folded.instances[1, 3:6, 3:10][inside == 1] == 5).all()  # type: ignore[index]
    desk.undo(done)
    assert desk.folds.get(desk.image).classes[1, 3, 3] == 0


def test_a_deleted_object_is_unlabelled_and_on_a_complete_slice_background(desk: Desk) -> None:
    desk.store.add_label(NewLabel(SliceRef(desk.image, 0, 2), None, "k", "ann"))
    desk.folds.forget(desk.image)
    done = desk.do("delete", A, BARE)
    known = desk.folded.known()
    assert (known[:2, 2:6, 2:8] == UNLABELLED).all() and (known[2, 2:6, 2:8] == BACKGROUND).all()
    assert (known[:, 2:6, 8:14] == 1).all()
    desk.undo(done)
    assert (desk.folded.known()[:, 2:6, 2:14] == 1).all()


def test_another_class_keeps_the_number(desk: Desk) -> None:
    desk.do("class", B, value=2)
    assert (desk.folded.classes[:, 2:6, 8:14] == 2).all()
    assert np.unique(desk.folded.instances[:, 2:6, 8:14]).tolist() == [2]  # type: ignore[index]


def test_every_object_without_a_number_gets_one(desk: Desk) -> None:
    desk.do("number", value=1)
    numbers = desk.folded.instances
    assert numbers is not None and np.unique(numbers[:, 8:11, 2:6]).tolist() == [3]
    with pytest.raises(Refused, match="has a number already"):
        desk.do("number", value=1)


@pytest.mark.parametrize(
    ("what", "at", "rest", "said"),
    [
        ("merge", [A], {}, "select another"),
        ("merge", [A, (0, 3, 3)], {}, "select another"),
        ("split", [A], {"line": (0.0, 12.0, 11.0, 12.0)}, "does not cross"),
        ("split", [A], {"line": (3.0, 3.0, 3.0, 3.0)}, "no length"),
        ("split", [A], {}, "no neck"),
        ("holes", [A], {}, "no holes"),
        ("delete", [(0, 0, 0)], {}, "no longer there"),
        ("delete", [(0, 99, 0)], {}, "outside"),
        ("delete", [], {}, "no object is selected"),
        ("class", [A], {"value": 9}, "not in this project"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    desk: Desk, what: str, at: list[tuple[int, int, int]], rest: dict[str, Any], said: str
) -> None:
    clock = desk.store.newest_label()
    with pytest.raises(Refused, match=said) as refused:
        desk.do(what, *at, **rest)
    assert not refused.value.retry and desk.store.newest_label() == clock


def test_what_somebody_else_changed_meanwhile_is_looked_at_once_more(desk: Desk) -> None:
    seen = desk.store.newest_label()
    desk.do("class", A, value=2, user="bob")
    with pytest.raises(Refused, match="bob changed something"):
        desk.do("delete", A, base_rev=seen)
    desk.do("delete", B, base_rev=seen)


def test_objects_that_a_person_chose_are_accepted_as_they_saw_them_also_when_newer_ones_came(
    desk: Desk,
) -> None:
    proposed = np.zeros(SHAPE, np.uint8)
    proposed[:, 0:2, 0:5] = proposed[:, 0:2, 10:15] = 1
    sure = np.full(SHAPE, 255, np.uint8)
    desk.store.predictions.add(NewPrediction(desk.image, "x", "predicted", 1, proposed, sure))
    about = {"image": desk.image, "axis": 0, "lo": 1, "hi": 2, "number": True}
    message = AcceptMessage.model_validate(
        {"t": "accept", "id": "a", **about, "box": (0, 8, 3, 16), "prediction": 1}
    )
    seen = np.full((3, 8), UNLABELLED, np.uint8)
    seen[0:2, 2:7] = 1
    desk.store.predictions.add(NewPrediction(desk.image, "x", "predicted", 2, proposed, sure))
    ack = desk.changes.take("ann", message, encode_runs(seen)).ack
    assert ack["voxels"] == 10 and ack["objects"] == 1
    known = desk.folded.known()
    assert (known[1, 0:2, 10:15] == 1).all() and (known[1, 0:2, 0:5] == UNLABELLED).all()
    assert (known[[0, 2], 0:2] == UNLABELLED).all()
    with pytest.raises(ValueError, match="outside its slice"):
        desk.changes.take("ann", message.model_copy(update={"id": "b", "box": (0, 0, 99, 9)}), b"")
    with pytest.raises(Refused, match="no object"):
        desk.changes.take(
            "ann", message.model_copy(update={"id": "c"}), encode_runs(np.zeros((3, 8), np.uint8))
        )
