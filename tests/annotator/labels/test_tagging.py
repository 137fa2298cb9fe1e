"""Tagging as a person does it: what masks tell for free, the grid's pages, acts and their undo, over HTTP."""

import io
import json
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from annotator.exchange.export_labels import ExportRequest, export
from annotator.exchange.import_tags import import_tags
from annotator.jobs import Job
from annotator.labels.tag_advice import advice
from annotator.labels.tagging import Tagging, tagged_places
from annotator.learning.scheduler import LearnSettings, Scheduler
from learners.engines import SerialExecutor
from storage.arrays import SliceRef
from storage.rows import NewLabel
from storage.tags import TagBatch
from tests.conftest import ball, drawn
from tests.support.asgi_client import small_app, small_workflow, visit

ONES = np.ones((2, 3), np.uint8)


def by(author: str = "ann") -> TagBatch:
    return TagBatch(uuid.uuid4().hex, author, seconds=1.0)


def complete(store, ref: SliceRef) -> None:
    store.add_label(NewLabel(ref, None, uuid.uuid4().hex, "ann"))


@pytest.fixture
def project(store):
    store.add_class("one"), store.add_class("two")
    return store.add_image(ball()[0])


def test_masks_tell_what_is_there_and_complete_slices_what_is_not(store, project):
    store.add_label(drawn(SliceRef(project, 0, 4), ONES))
    complete(store, SliceRef(project, 0, 2))
    complete(store, SliceRef(project, 0, 4))
    known = Tagging(store).known()
    assert known[project, 0, 4].present == {1: True}
    assert known[project, 0, 2].present == {1: False}
    assert (project, 0, 3) not in known


def test_a_slice_completed_before_a_class_was_used_says_nothing_about_it(store, project):
    store.add_label(drawn(SliceRef(project, 0, 4), ONES))
    complete(store, SliceRef(project, 0, 2))
    store.add_label(drawn(SliceRef(project, 0, 6), 2 * ONES))
    assert Tagging(store).known()[project, 0, 2].present == {1: False}


def test_a_mask_in_another_plane_tells_the_slices_that_it_crosses(store, project):
    store.add_label(drawn(SliceRef(project, 1, 3), ONES, at=(5, 2)))
    known = Tagging(store).known()
    assert {place[2] for place in known} == {5, 6}


def test_a_mask_wins_over_a_tag_and_its_undo_brings_the_tag_back(store, project):
    tagging = Tagging(store)
    tagging.add([(project, 0, 4)], {1: False}, by())
    label = store.add_label(drawn(SliceRef(project, 0, 4), ONES))
    assert tagging.known()[project, 0, 4].present == {1: True}
    store.revoke(label.client_id, client_id="u", author="ann")
    assert tagging.known()[project, 0, 4].present == {1: False}


def test_the_newest_tag_counts_and_undo_brings_the_older_back(store, project):
    tagging = Tagging(store)
    tagging.add([(project, 0, 4)], {1: True}, by())
    assert tagging.add([(project, 0, 4)], {1: False}, by())[0]["absent"] == [1]
    assert tagging.undo("ann", "u1")[0]["present"] == [1]


def test_a_page_counts_what_is_done_and_can_leave_it_out(store, project):
    tagging = Tagging(store)
    tagging.add([(project, 0, 1), (project, 0, 4)], {1: True, 2: False}, by())
    tagging.add([(project, 0, 7)], {1: True}, by())
    page = tagging.page(0, 60, every=3)
    assert [item["index"] for item in page["items"]] == [1, 4, 7]
    assert (page["total"], page["done"], page["seconds"]) == (3, 2, 2.0)
    assert [item["index"] for item in tagging.page(0, 60, every=3, untagged=True)["items"]] == [7]


def test_every_so_many_slices_of_a_volume_and_every_picture(store, project):
    flat = store.image(store.add_image(replace(ball((1, 17, 23))[0], name="flat")))
    assert tagged_places([store.image(project), flat], 4) == [
        (project, 0, 1),
        (project, 0, 5),
        (flat.id, 0, 0),
    ]


def test_nonsense_is_refused_in_words(store, project):
    tagging = Tagging(store)
    with pytest.raises(LookupError, match="no slice 99"):
        tagging.add([(project, 0, 99)], {1: True}, by())
    with pytest.raises(LookupError, match="class 7 is not in this project"):
        tagging.add([(project, 0, 0)], {7: True}, by())
    with pytest.raises(ValueError, match="a slice and a class"):
        tagging.add([(project, 0, 0)], {}, by())


def test_over_http_a_tag_is_said_once_seen_and_taken_back(tmp_path: Path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client:
        act = {"id": "act-1", "places": [{"image": 1, "index": 4}, {"image": 1, "index": 5}], "present": [1]}
        for _ in range(2):
            answer = client.post("/api/tags", json={**act, "seconds": 2.5})
            assert [item["present"] for item in answer.json()["items"]] == [[1], [1]]
        page = client.get("/api/tags").json()
        assert (page["total"], page["done"], page["seconds"]) == (9, 2, 2.5)
        assert client.post("/api/tags/undo", json={"id": "u"}).status_code == 200
        assert client.get("/api/tags").json()["done"] == 0
        assert client.post("/api/tags/undo", json={"id": "u2"}).status_code == 404
        assert client.post("/api/tags", json={**act, "id": "b", "absent": [1]}).status_code == 400
        assert client.post("/api/tags", json={**act, "id": "c", "present": [9]}).status_code == 404
        assert client.post("/api/tags", json={**act, "places": []}).status_code == 422


def test_a_thumbnail_is_a_small_picture_in_the_images_window(tmp_path: Path):
    with small_workflow(tmp_path) as workflow, visit(small_app(workflow)) as client:
        answer = client.get("/api/thumbnails/1/0/4")
        picture = Image.open(io.BytesIO(answer.content))
        assert answer.headers["content-type"] == "image/webp" and picture.size == (92, 68)
        pixels = np.asarray(picture.convert("L"))
        assert pixels[28, 36] > pixels[4, 88] + 60  # the ball is bright, the corner is not
        assert client.get("/api/thumbnails/1/0/40").status_code == 404


# learning from tags


def test_tags_are_news_for_the_learner_that_reads_them_alone(store, project):
    scheduler = Scheduler(store, SerialExecutor(), settings=LearnSettings(("supervised", "tags")))
    Tagging(store).add([(project, 0, 4)], {1: True}, by())
    assert scheduler._clock("supervised") == 0 and scheduler._clock("tags") == 1
    scheduler.close()


def test_with_tags_alone_the_app_learns_from_tags_and_says_what_is_missing(store, project):
    Tagging(store).add([(project, 0, 3), (project, 0, 4)], {1: True}, by())
    scheduler = Scheduler(store, SerialExecutor())
    assert scheduler.choice().learner == "tags"
    scheduler.run_until_idle()
    status = scheduler.status()[0]
    assert (status["learner"], status["state"]) == ("tags", "waiting")
    assert "at least 3 slices" in status["message"]
    scheduler.close()


def test_a_round_from_tags_alone_proposes_masks_for_the_project(store, project):
    """The whole way: tags in the store, a round, a proposal on every slice, no drawn label anywhere."""
    truth = ball()[1]
    tagging = Tagging(store)
    for index in range(9):
        tagging.add([(project, 0, index)], {1: bool(truth[index].any())}, by())
    settings = LearnSettings(("tags",), settle_seconds=0, device="cpu", steps=25)
    scheduler = Scheduler(store, SerialExecutor(), settings=settings)
    scheduler.run_until_idle()
    assert scheduler.status()[0]["state"] == "idle", scheduler.status()[0]["message"]
    proposal = store.predictions.newest(project, "tags")
    assert proposal is not None and proposal.classes().shape == (9, 17, 23)
    assert set(np.unique(proposal.classes())) <= {0, 1}
    assert scheduler.rounds.newest("tags", "done").annotator_seconds == 9
    scheduler.close()


# files


def table(folder: Path, *lines: str) -> Path:
    path = folder / "tags.csv"
    path.write_text("\n".join(["Image,class,present,slice", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_csv_file_becomes_tags_once_and_says_what_it_refused(store, project, tmp_path):
    store.add_image(replace(ball((1, 17, 23))[0], name="flat.png"))
    path = table(
        tmp_path, "ball,one,1,4", "flat,new class,no,", "nowhere,one,1,0", "ball,one,perhaps,1", "ball,one,1,"
    )
    report = import_tags(store, path)
    assert report.tagged == 2
    assert [line.split(": ")[1] for line in report.refused] == [
        "there is no image 'nowhere' in this project",
        "present is 1 or 0, got 'perhaps'",
        "ball has 9 slices; say which in a column named slice",
    ]
    assert [c.name for c in store.classes()] == ["one", "two", "new class"]
    known = Tagging(store).known()
    assert known[project, 0, 4].present == {1: True} and known[2, 0, 0].present == {3: False}
    assert import_tags(store, path).tagged == 0 and len(store.tags.of()) == 2


def test_a_file_that_is_no_table_is_refused_in_words(store, tmp_path):
    path = tmp_path / "tags.csv"
    path.write_text("picture,class\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no column 'image'"):
        import_tags(store, path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="neither UTF-8 nor UTF-16"):
        import_tags(store, path)


def test_the_command_line_imports_tags(store, project, tmp_path, capsys):
    store.close()
    assert app.main(["tag", str(store.root), "--csv", str(table(tmp_path, "ball,one,1,4"))]) == 0
    assert "1 tags imported" in capsys.readouterr().out
    assert app.main(["tag", str(store.root), "--csv", str(tmp_path / "none.csv")]) == 1
    assert "does not exist; give a CSV file" in capsys.readouterr().err


def test_provenance_says_who_tagged_what_and_when(store, project, tmp_path):
    store.add_label(drawn(SliceRef(project, 0, 4), ONES))
    Tagging(store).add([(project, 0, 3)], {1: True, 2: False}, by())
    export(store, tmp_path / "out", ExportRequest(), Job("export"))
    tags = json.loads((tmp_path / "out" / "provenance.json").read_text("utf-8"))["tags"]
    assert [(t["classes"], t["present"], t["author"], t["index"]) for t in tags] == [
        ([1], True, "ann", 3),
        ([2], False, "ann", 3),
    ]
    assert tags[0]["seconds"] == 0.5 and tags[0]["source"] == "tagged"


def test_the_page_says_what_tags_are_worth_here_and_pushes_nobody(store, project):
    assert advice(store) == {
        "suggest": False,
        "why": "On slices of volumes, clicks teach more than tags in the same time.",
    }
    for number in range(2):
        store.add_image(replace(ball((1, 17, 23))[0], name=f"flat {number}"))
    assert "in the same time" in advice(store)["why"] and not advice(store)["suggest"]
