"""A project is mended: imports undone as a whole, images deleted and brought back, renamed, given a spacing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import app
from annotator.exchange.import_tags import import_tags
from annotator.protocol.frames import encode_runs
from annotator.protocol.incoming import LabelMessage, UndoMessage
from annotator.workflow import Refused, Workflow
from storage.arrays import SliceRef
from storage.fold import fold
from storage.formats import grid_of_image
from storage.rows import NewLabel
from storage.store import Store
from storage.tags import NewTag, TagBatch
from tests.conftest import ball, drawn
from tests.support.asgi_client import small_app, small_workflow, visit

ONES = np.ones((2, 3), np.uint8)


@pytest.fixture
def workflow(tmp_path: Path):
    with small_workflow(tmp_path) as workflow:
        yield workflow


def label(store: Store, image: int, value: int = 1, index: int = 4, author: str = "ann") -> NewLabel:
    new = drawn(SliceRef(image, 0, index), ONES * value, author=author)
    store.add_label(new)
    return new


def folder_with_masks(folder: Path) -> Path:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for name in ("a", "b"):
        picture = np.random.default_rng(len(name)).integers(0, 255, (20, 30)).astype(np.uint8)
        mask = np.zeros((20, 30), np.uint8)
        mask[3:9, 4:12] = 7
        Image.fromarray(picture + (name == "b")).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "labels" / f"{name}.png")
    return folder


def run(*words: object) -> int:
    return app.main([str(word) for word in words])


def known(store: Store, image_id: int) -> np.ndarray:
    return fold(store.image(image_id).shape, store.labels(image_id)).known()


# images


def test_a_deleted_image_is_out_of_sight_with_its_labels_and_comes_back_with_them(workflow: Workflow):
    store = workflow.store
    other = store.add_image(ball(seed=1)[0])
    kept, undone = label(store, 1), label(store, 1, index=5)
    store.revoke(undone.client_id, client_id="u", author="ann")
    store.tags.add([NewTag(SliceRef(1, 0, 0), (1,), True)], TagBatch("t", "ann"))
    before = known(store, 1)
    workflow.repair.delete("ann", [1])
    assert [row.id for row in store.images()[1]] == [other]
    assert store.rounds.first_use() == {} and store.rounds.labelled_images() == {} and store.tags.of() == []
    assert workflow.history("ann") == {"undo": [], "redo": []}
    with pytest.raises(LookupError, match="'ball' was deleted; bring it back"):
        workflow.image(1)
    with pytest.raises(Refused, match="was deleted"):
        where = {"image": 1, "axis": 0, "index": 4, "box": (0, 0, 2, 3), "source": "drawn", "base_rev": 0}
        workflow.commit(
            "ann", LabelMessage.model_validate({"t": "label", "id": "x", **where}), encode_runs(ONES)
        )
    with pytest.raises(Refused):
        workflow.commit("ann", UndoMessage(t="undo", id="y", target=kept.client_id), b"")
    workflow.repair.bring_back("ann", [1])
    assert np.array_equal(known(store, 1), before) and len(store.tags.of()) == 1
    assert [event["id"] for event in workflow.history("ann")["undo"]] == [kept.client_id]


def test_the_same_image_can_be_imported_again_while_it_is_in_the_bin(workflow: Workflow):
    workflow.repair.delete("ann", [1])
    assert workflow.store.add_image(ball()[0]) == 2
    workflow.repair.bring_back("ann", [1])
    assert [row.name for row in workflow.store.images()[1]] == ["ball (2)", "ball"]


def test_an_emptied_bin_leaves_neither_files_nor_names_and_the_clock_goes_on(workflow: Workflow):
    store = workflow.store
    label(store, 1)
    act = workflow.repair.delete("ann", [1])
    assert "the bin keeps it" in act.message
    clock = store.newest_label()
    assert workflow.repair.empty_bin().message == "1 image deleted for good"
    assert not list((store.root / "images").iterdir()) and not list((store.root / "labels").iterdir())
    assert workflow.repair.binned() == [] == workflow.repair.acts() and store.newest_label() == clock
    with pytest.raises(LookupError, match="gone for good"):
        workflow.repair.undo("ann", store.acts.newest()[0].id)
    with pytest.raises(LookupError, match="no image 1"):
        store.image(1)
    label(store, store.add_image(ball()[0]))
    assert store.newest_label() > clock


def test_deleting_is_undone_and_done_again_as_a_whole(workflow: Workflow):
    second = workflow.store.add_image(ball(seed=1)[0])
    label(workflow.store, 1), label(workflow.store, second)
    workflow.repair.delete("ann", [1, second])
    (act,) = workflow.repair.acts()
    workflow.repair.undo("bob", act["id"])
    assert len(workflow.store.images()[1]) == 2 and (known(workflow.store, second)[4, :2, :3] == 1).all()
    with pytest.raises(ValueError, match="undone already"):
        workflow.repair.undo("bob", act["id"])
    late = label(workflow.store, 1, index=6)
    workflow.repair.redo("ann", act["id"])
    assert workflow.store.images()[1] == [] and late.client_id not in str(workflow.history("ann"))
    workflow.repair.undo("bob", act["id"])
    assert {row.index for row in workflow.store.labels(1)} == {4, 6}, "what came between is brought back too"


def test_an_image_gets_another_name_and_spacing_and_both_are_undone(workflow: Workflow):
    store = workflow.store
    workflow.repair.rename("ann", 1, " liver  7 ")
    workflow.repair.set_spacing("ann", 1, (5.0, 0.7, 0.8))
    image = store.image(1)
    assert image.name == "liver 7" and image.spacing_mm == (5.0, 0.7, 0.8)
    grid = grid_of_image(image.geometry, image.shape, image.spacing_mm)
    assert grid.spacing_mm == pytest.approx((5.0, 0.7, 0.8))
    for act in workflow.repair.acts():
        workflow.repair.undo("ann", act["id"])
    image = store.image(1)
    assert image.name == "ball" and image.spacing_mm == (2.0, 1.0, 1.0)
    store.add_image(ball(seed=1)[0])
    with pytest.raises(ValueError, match="an image 'ball' already"):
        workflow.repair.rename("ann", 2, "ball")


# acts


def test_a_merge_is_undone_and_done_again(workflow: Workflow):
    workflow.store.add_class("two")
    label(workflow.store, 1)
    workflow.edit_classes("ann", {"op": "merge", "id": 1, "into": 2})
    (act,) = workflow.repair.acts()
    assert act["title"] == "Merged “one” into “two”"
    workflow.repair.undo("ann", act["id"], "key")
    assert workflow.repair.undo("ann", act["id"], "key").message.startswith("Undid: Merged"), "a repeat"
    assert (workflow.labels(1, 4, 5)[0][0, :2, :3] == 1).all()
    assert [c.name for c in workflow.store.classes()] == ["one", "two"]
    workflow.repair.redo("ann", act["id"])
    assert (workflow.labels(1, 4, 5)[0][0, :2, :3] == 2).all()
    assert [c.name for c in workflow.store.classes()] == ["two"]


def test_an_undo_of_images_brings_the_class_back_that_was_removed_meanwhile(workflow: Workflow):
    label(workflow.store, 1)
    workflow.repair.delete("ann", [1])
    workflow.edit_classes("ann", {"op": "remove", "id": 1})
    workflow.repair.bring_back("ann", [1])
    assert [c.name for c in workflow.store.classes()] == ["one"]


def test_an_import_is_undone_as_a_whole_and_can_be_imported_anew(tmp_path: Path, capsys):
    data, project = folder_with_masks(tmp_path / "data"), tmp_path / "project"
    assert run("import", data, "--project", project) == 0
    store = Store(project)
    label(store, 1, index=0)
    store.close()
    assert run("repair", "undo", 1, "--project", project) == 0
    store = Store.read_only(project)
    assert [row.name for row in store.images()[1]] == ["a.png"], "people worked on it since"
    assert [row.author for row in store.labels(1)] == ["ann"]
    store.close()
    assert run("repair", "undo", 1, "--project", project) == 1
    assert "undone already" in capsys.readouterr().err
    assert run("import", data, "--project", project) == 0
    store = Store.read_only(project)
    for image in store.images()[1]:
        assert len([row for row in store.labels(image.id) if row.author == "import"]) == 2
    store.close()


def test_the_command_line_deletes_restores_renames_and_merges(tmp_path: Path, capsys):
    data, project = folder_with_masks(tmp_path / "data"), tmp_path / "project"
    run("import", data, "--project", project)
    store = Store(project)
    store.add_class("cell")
    store.close()
    for words in (
        ["delete", "a.png"],
        ["bin"],
        ["restore", "a.png"],
        ["rename", "b.png", "--to", "second"],
        ["spacing", "second", "--mm", 1, 0.5, 0.5],
        ["merge", "7", "--into", "cell"],
        ["list"],
    ):
        assert run("repair", *words, "--project", project) == 0, words
    said = capsys.readouterr().out
    assert "Merged “7” into “cell”" in said and "Deleted a.png" in said and "Imported data: 2 images" in said
    store = Store.read_only(project)
    assert [c.name for c in store.classes()] == ["cell"]
    assert store.images()[1][1].name == "second" and set(np.unique(known(store, 1))) == {0, 1 + 1}
    store.close()
    assert run("repair", "delete", "nothing", "--project", project) == 1
    assert "there is no image 'nothing'" in capsys.readouterr().err


def test_the_page_can_ask_for_all_of_it_and_twice(workflow: Workflow):
    with visit(small_app(workflow)) as client:

        def ask(path: str, **body: Any) -> Any:
            answer = client.post(f"/api/{path}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()["message"]

        for _ in range(2):
            assert ask("images/1/rename", name="new", key="k1") == "Renamed ball to new"
        ask("images/1/orientation", ends=["I", "P", "L"])
        (turned,) = client.get("/api/images").json()["items"]
        assert client.get(f"/api/images/{turned['id']}").json()["marks"] == [
            ["S", "I"],
            ["A", "P"],
            ["R", "L"],
        ]
        ask(f"acts/{client.get('/api/acts').json()['acts'][0]['id']}/undo")
        ask("images/1/spacing", spacing_mm=[3, 1, 1])
        ask("images/delete", images=[1])
        facts = client.get("/api/acts").json()
        assert len(facts["acts"]) == 4 and facts["bin"][0]["name"] == "new"
        ask("images/restore", images=[1])
        ask(f"acts/{facts['acts'][1]['id']}/undo")
        assert client.get("/api/images/1").json()["spacing_mm"] == [2, 1, 1]
        assert client.post("/api/images/1/rename", json={"name": "\n"}).status_code == 400
        ask("bin/empty")


def test_imported_tags_are_undone_and_come_again(workflow: Workflow, tmp_path: Path):
    store = workflow.store
    (tmp_path / "tags.csv").write_text("image,class,present,slice\nball,new,1,3\nball,one,0,4\n")
    assert import_tags(store, tmp_path / "tags.csv").tagged == 2
    (act,) = workflow.repair.acts()
    assert act["title"] == "Imported tags.csv: tags on 1 image"
    workflow.repair.undo("ann", act["id"])
    assert not store.tags.of() and [c.name for c in store.classes()] == ["one"]
    workflow.repair.redo("ann", act["id"])
    assert len(store.tags.of()) == 2 and import_tags(store, tmp_path / "tags.csv").tagged == 0
    workflow.repair.undo("ann", act["id"])
    assert import_tags(store, tmp_path / "tags.csv").tagged == 2 and len(store.tags.of()) == 2
