"""Tags: which classes are on a slice, said in a second; events on the clock that no fold ever sees."""

import sqlite3

import numpy as np
import pytest
from sqlite_utils import Database as Tables

from storage.arrays import SliceRef
from storage.database import Database
from storage.schema import migration
from storage.store import Store
from storage.tags import NewTag, TagBatch
from tests.conftest import ball, drawn

INSERT_TAG = """insert into labels (client_id, image_id, kind, source, author, present)
                values (?, 1, 'tag', 'tagged', 'ann', ?)"""
ONES = np.ones((2, 3), np.uint8)


def act(batch: str, author: str = "ann", seconds: float = 1.0) -> TagBatch:
    return TagBatch(batch, author, seconds=seconds)


def test_a_tag_moves_the_clock_and_says_nothing_about_voxels(store):
    image = store.add_image(ball()[0])
    label = store.add_label(drawn(SliceRef(image, 0, 4), ONES))
    store.tags.add([NewTag(SliceRef(image, 0, 3), (1,), True)], act("a"))
    assert store.newest_label() == label.id + 1 == store.tags.newest()
    assert store.newest_label(tags=False) == label.id
    assert store.labels(image) == [label]
    assert store.slice_states(image) == [(0, 4, "labelled")]
    assert store.history.of("ann")[0][-1].client_id == label.client_id
    assert store.rounds.labelled_images() == {image: label.id}


def test_an_act_is_taken_back_as_a_whole_and_the_same_act_twice_is_one(store):
    image = store.add_image(ball()[0])
    places = [NewTag(SliceRef(image, 0, z), (1, 2), False) for z in range(3)]
    assert store.tags.add(places, act("x", seconds=3.0)) == 3
    assert store.tags.add(places, act("x", seconds=3.0)) == 0
    store.tags.add([NewTag(SliceRef(image, 0, 5), (1,), True)], act("y"))
    assert store.tags.take_back("undo-1", "ann") == [SliceRef(image, 0, 5)]
    assert len(store.tags.take_back("undo-2", "ann")) == 3
    assert store.tags.of() == [] and store.tags.seconds() == 4.0
    with pytest.raises(LookupError, match="you have no tag to undo"):
        store.tags.take_back("undo-3", "ann")


def test_nobody_takes_back_the_tags_of_another(store):
    image = store.add_image(ball()[0])
    store.tags.add([NewTag(SliceRef(image, 0, 0), (1,), True)], act("a", author="ann"))
    with pytest.raises(LookupError):
        store.tags.take_back("u", "ben")
    assert store.tags.of([image])[0].author == "ann"


def test_taking_a_tag_back_leaves_the_clock_of_masks_alone(store):
    image = store.add_image(ball()[0])
    label = store.add_label(drawn(SliceRef(image, 0, 4), ONES))
    store.tags.add([NewTag(SliceRef(image, 0, 3), (1,), True)], act("a"))
    store.tags.take_back("u", "ann")
    assert store.newest_label(tags=False) == label.id < store.newest_label()


def test_a_class_that_is_tagged_present_cannot_be_removed_and_one_tagged_absent_can(store):
    store.add_class("one"), store.add_class("two")
    image = store.add_image(ball()[0])
    store.tags.add(
        [NewTag(SliceRef(image, 0, 0), (1,), True), NewTag(SliceRef(image, 0, 0), (2,), False)], act("a")
    )
    store.remove_class(2)
    with pytest.raises(ValueError, match="a tag says that this class is on ball"):
        store.remove_class(1)


def test_a_tag_needs_a_class_of_the_right_range():
    with pytest.raises(ValueError, match="one class or more"):
        NewTag(SliceRef(1, 0, 0), (), True)
    with pytest.raises(ValueError, match="between 1 and 253"):
        NewTag(SliceRef(1, 0, 0), (0,), True)


def test_an_old_project_keeps_every_event_and_its_clock(tmp_path):
    old = sqlite3.connect(tmp_path / "project.db")
    old.execute("pragma foreign_keys = on")
    migration.apply(Tables(old), stop_before="m004_tags")
    old.execute("""insert into images (uid, digest, name, z, y, x, channels, dtype, facts, source)
                   values ('u', 'd', 'n', 1, 2, 3, 1, 'uint8', '{}', 's')""")
    for number, (kind, revokes, live) in enumerate(
        [("complete", None, 0), ("revoke", 1, 1), ("complete", None, 1)]
    ):
        old.execute(
            """insert into labels (client_id, image_id, kind, axis, slice, source, author, revokes, live)
               values (?, 1, ?, 0, 0, 'drawn', 'ann', ?, ?)""",
            [f"c{number}", kind, revokes, live],
        )
    before = old.execute("select * from labels order by id").fetchall()
    old.commit()
    old.close()
    db = Database(tmp_path / "project.db")
    after = [tuple(row.values()) for row in db.rows("select * from labels order by id")]
    assert [row[:-2] for row in after] == before and all(row[-2:] == (None, None) for row in after)
    assert db.rows("pragma foreign_key_check") == []
    with db.transaction() as tables:
        tables.execute(INSERT_TAG, ["t", 1])
    assert db.value("select max(id) from labels") == 4
    with pytest.raises(sqlite3.IntegrityError), db.transaction() as tables:
        tables.execute(INSERT_TAG, ["v", None])
    db.close()


def test_a_project_that_is_open_can_be_read_meanwhile(store, tmp_path):
    image = store.add_image(ball()[0])
    store.tags.add([NewTag(SliceRef(image, 0, 0), (1,), True)], act("a"))
    reader = Store.read_only(store.root)
    assert reader.tags.of()[0].classes == (1,)
    reader.close()


def test_an_undo_sent_twice_takes_one_act_back_and_is_answered_alike(store):
    store.add_class("one")
    image = store.add_image(ball()[0])
    places = [SliceRef(image, 0, index) for index in (1, 2)]
    for batch, place in zip("ab", places, strict=True):
        store.tags.add([NewTag(place, (1,), True)], act(batch))
    assert store.tags.take_back("u", "ann") == store.tags.take_back("u", "ann") == places[1:]
    assert [tag.ref for tag in store.tags.of()] == places[:1]
