"""How far each image is: one list, filtered, sorted and searched, for ten thousand images as for three."""

import time

import numpy as np
import pytest

from annotator.labels.label_cache import LabelCache
from annotator.labels.progress import Progress
from storage.arrays import SliceRef
from storage.image_states import FILTERS, SORTS, ImageQuery
from storage.predictions import Expected, NewPrediction
from storage.rows import NewLabel
from tests.conftest import ball, drawn
from tests.support.asgi_client import live, small_app, small_workflow, visit


def named(name: str, seed: int):
    scan = ball(seed=seed)[0]
    return type(scan)(name, scan.pixels, spacing_mm=scan.spacing_mm, marks=scan.marks)


@pytest.fixture
def filled(store):
    """Images 1 to do, 2 proposed, 3 and 4 in work of which 4 is held out, 5 done."""
    store.add_class("one")
    for n in range(5):
        store.add_image(named(f"image {n + 1}", n))
    shape, truth = ball()[0].pixels.shape, ball()[1]
    for image, expected in ((2, 0.6), (3, 0.9), (4, 0.7)):
        array = np.zeros(shape, np.uint8)
        store.predictions.add(
            NewPrediction(
                image, "unimatch", "predicted", 0, array, array, 7, Expected(expected, expected, expected)
            )
        )
    for image in (3, 4, 5):
        label = drawn(SliceRef(image, 0, 4), truth[4])
        store.add_label(
            label if image != 4 else NewLabel(label.ref, label.patch, "x", "ann", source="accepted")
        )
    for z in range(shape[0]):
        store.add_label(NewLabel(SliceRef(5, 0, z), None, f"done {z}", "ann"))
    Progress(store, LabelCache(store)).catch_up()
    rounds = store.rounds
    rounds.sweep()
    rounds.hold_out(4)
    return store


def ids(store, **wish):
    return [state.id for state in store.image_states.page(ImageQuery(**wish), 0, 100)[1]]


def test_every_image_is_in_one_state(filled):
    _, page = filled.image_states.page(ImageQuery(), 0, 10)
    assert [one.state for one in page] == ["todo", "proposed", "work", "work", "done"]
    assert (page[0].known, page[4].known) == (0, 1) and page[2].known == pytest.approx(1 / 9)
    assert filled.image_states.counts() == {"todo": 1, "proposed": 1, "work": 2, "done": 1}
    assert [one.held_out for one in page] == [False, False, False, True, False]
    assert (page[1].producer, page[1].round_id, page[1].expected_dice) == ("unimatch", 7, 0.6)


def test_slices_of_three_planes_count_no_voxel_twice(store):
    image, folds = store.add_image(ball()[0]), LabelCache(store)
    depth, rows, columns = ball()[0].pixels.shape
    progress = Progress(store, folds)
    for axis, count in enumerate((depth - 1, rows - 1, columns - 1)):
        for index in range(count):
            store.add_label(NewLabel(SliceRef(image, axis, index), None, f"{axis} {index}", "ann"))
    progress.catch_up()
    one = store.image_states.page(ImageQuery(), 0, 1)[1][0]
    assert one.state == "work" and one.known == 1 - 1 / (depth * rows * columns)
    store.add_label(NewLabel(SliceRef(image, 0, depth - 1), None, "last", "ann"))
    assert store.image_states.page(ImageQuery(), 0, 1)[1][0].known is None, "what is old is not told"
    assert progress.counts()["done"] == 1
    store.revoke("last", client_id="u", author="ann")
    assert progress.counts() == {"todo": 0, "proposed": 0, "work": 1, "done": 0}


def test_an_answer_waits_for_no_count_of_a_whole_project(store):
    for n in range(3):
        store.add_label(drawn(SliceRef(store.add_image(named(f"image {n}", n)), 0, 4), ball()[1][4]))
    late = iter(range(0, 1000, 10))
    progress = Progress(store, LabelCache(store), clock=lambda: next(late))
    for left in (2, 1, 0):
        progress.catch_up()
        assert len(store.image_states.uncounted()) == left


def test_the_list_is_filtered_sorted_and_searched(filled):
    assert ids(filled, state="left") == [1, 2, 3, 4] and ids(filled, state="work") == [3, 4]
    assert ids(filled, state="proposed") == [2] and ids(filled, state="held_out") == [4]
    assert ids(filled, sort="expected") == [2, 4, 3, 1, 5]
    assert ids(filled, sort="expected", down=True) == [3, 4, 2, 1, 5]
    assert ids(filled, sort="name", down=True) == [5, 4, 3, 2, 1]
    assert ids(filled, search="image 3") == [3] and ids(filled, search="unimatch") == [2, 3, 4]
    assert ids(filled, search="100%") == []
    for state in FILTERS:
        for sort in SORTS:
            ids(filled, state=state, sort=sort, down=True)
    with pytest.raises(ValueError, match="cannot be listed by 'size'"):
        ImageQuery(sort="size")


def test_marks_are_set_once_and_taken_back(filled):
    states = filled.image_states
    for mark in ("flag", "first", "skip"):
        states.set_trait(3, mark, True, "ann")
        states.set_trait(3, mark, True, "bob")
        assert states.with_trait(mark) == [3]
    assert ids(filled, state="flagged") == ids(filled, state="skipped") == ids(filled, state="first") == [3]
    states.set_trait(3, "flag", False, "ann")
    assert ids(filled, state="flagged") == []


def test_marks_stay_in_the_order_in_which_they_were_set_when_the_clock_goes_back(filled):
    for image in (3, 1):
        filled.image_states.set_trait(image, "first", True, "ann")
    with filled._db.transaction() as tables:
        tables.execute("update image_marks set created_at = '1999-01-01' where image_id = 1")
    assert filled.image_states.with_trait("first") == [3, 1]


def test_ten_thousand_images_are_listed_in_no_time(store):
    with store._db.transaction() as tables:
        tables.execute(
            """with recursive n(k) as (select 1 union all select k + 1 from n where k < 10000)
               insert into images (uid, digest, name, z, y, x, channels, dtype, facts, source)
               select k, k, 'picture ' || k, 1, 4, 4, 1, 'uint8',
               '{"spacing_mm": null, "marks": null, "geometry": null, "window": [0, 1], "value_range": [0, 1],
                 "presets": []}',
               '' from n"""
        )
        tables.execute(
            """insert into predictions (uid, image_id, producer, kind, round_id, seen_label, expected_dice)
               select id, id, 'unimatch', 'predicted', 1, 0, (id * 7919 % 1000) / 1000.0 from images"""
        )
    started = time.process_time()
    total, page = store.image_states.page(ImageQuery(sort="expected", state="proposed"), 5000, 100)
    assert total == 10_000 and len(page) == 100
    assert page[0].expected_dice == pytest.approx(0.5, abs=0.01)
    assert time.process_time() - started < 1.0


def test_the_route_lists_and_a_mark_is_told_to_every_page(tmp_path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client, live(client) as link:
        answer = client.get("/api/images?state=todo&sort=name&down=true").json()
        assert answer["total"] == 1 and answer["items"][0]["marks"] == []
        assert client.post("/api/images/1/mark", json={"mark": "flag", "on": True}).status_code == 200
        assert link.wait("mark")[0] | {"by": ""} == {
            "t": "mark",
            "image": 1,
            "mark": "flagged",
            "on": True,
            "by": "",
        }
        assert client.get("/api/images?state=flagged").json()["items"][0]["marks"] == ["flagged"]
        assert client.post("/api/images/9/mark", json={"mark": "flag", "on": True}).status_code == 404
        assert client.get("/api/images?sort=size").status_code == 400


def test_people_put_images_first_leave_them_out_and_search_the_queue(tmp_path):
    with small_workflow(tmp_path) as workflow:
        for n in range(1, 4):
            workflow.store.add_image(named(f"scan {n}", n))
        with visit(small_app(workflow, fill=True)) as client:
            for image, mark in ((3, "first"), (2, "skip")):
                client.post(f"/api/images/{image}/mark", json={"mark": mark, "on": True})
            items = client.get("/api/queue?images=true").json()["items"]
            assert (items[0]["image"], items[0]["why"]) == (3, "somebody put it first")
            assert 2 not in [item["image"] for item in items] and len(items) == 3
            found = client.get("/api/queue?images=true&search=scan").json()["items"]
            assert [item["image"] for item in found] == [3, 4]
