"""A scene is taken in place; its regions become images of the project, and the map says how each stands."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from annotator.cli.imports import run_import
from annotator.exchange.import_images import import_path
from annotator.jobs import Job
from annotator.labels.commit import Refused
from annotator.scenes.first_import import FirstImport, run_first_import
from annotator.scenes.taking import take_scene
from annotator.workflow import Workflow
from app import parser
from storage.arrays import Box, Patch, SliceRef
from storage.formats import FileRefused
from storage.rows import NewLabel
from storage.scenes.rows import SceneRow
from storage.store import Store
from tests.support.asgi_client import small_app, small_workflow, visit
from tests.support.scenes import write_zarr

SIDES = (1600, 2700)


def values() -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIDES[0], : SIDES[1]]
    return ((2 * y + x) // 32 + 1).astype(np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("scenes") / "slide.zarr", values(), "yx", chunk=512)


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@pytest.fixture
def scene(workflow: Workflow, written: Path, tmp_path: Path) -> SceneRow:
    """Of a file that a test may damage."""
    path = Path(shutil.copytree(written, tmp_path / "slide.zarr"))
    return take_scene(workflow.store, path, Job("import"))


def test_a_scene_is_taken_once_and_nothing_of_it_is_copied(workflow: Workflow, scene: SceneRow):
    assert scene.grid.counts == (1, 2, 3) and scene.name == "slide.zarr"
    assert take_scene(workflow.store, scene.path, Job("import")).id == scene.id
    assert workflow.project("ann")["scenes"] == [{"id": scene.id, "name": "slide.zarr"}]
    assert len(list((workflow.store.root / "images").iterdir())) == 1  # what was there before


def test_a_region_is_an_image_that_knows_its_place(workflow: Workflow, scene: SceneRow):
    opened = workflow.scenes.open(scene.id, (0, 1, 2))
    image = workflow.store.image(opened.image)
    assert image.name == "slide r2 c3" and opened.new and not opened.problem
    expected = values()[1024 - 64 :, 2048 - 64 :]
    np.testing.assert_array_equal(workflow.store.pixels(image.id)[0], expected)
    told = {"id": scene.id, "name": "slide.zarr", "at": (0, 1, 2), "counts": (1, 2, 3)}
    assert workflow.image(image.id)["scene"] == told
    assert workflow.image(1)["scene"] is None
    again = workflow.scenes.open(scene.id, (0, 1, 2))
    assert (again.image, again.new) == (image.id, False)


def test_the_map_says_how_each_region_stands(workflow: Workflow, scene: SceneRow):
    first = workflow.scenes.open(scene.id, (0, 0, 0)).image
    second = workflow.scenes.open(scene.id, (0, 0, 1)).image
    ref = SliceRef(second, 0, 0)
    patch = Patch(Box(0, 0, 9, 9), np.ones((9, 9), np.uint8))
    workflow.store.add_label(NewLabel(ref, patch, client_id="a", author="ann"))
    states = {tuple(r["at"]): (r["image"], r["state"]) for r in workflow.scenes.map(scene.id)["regions"]}
    assert states == {(0, 0, 0): (first, "todo"), (0, 0, 1): (second, "work")}


def test_a_region_in_the_bin_is_untouched_and_opens_anew(workflow: Workflow, scene: SceneRow):
    image = workflow.scenes.open(scene.id, (0, 0, 0)).image
    workflow.repair.delete("ann", [image])
    assert workflow.scenes.map(scene.id)["regions"] == []
    anew = workflow.scenes.open(scene.id, (0, 0, 0))
    assert anew.new and anew.image != image


def test_a_damaged_piece_is_a_line_and_no_failure(workflow: Workflow, scene: SceneRow):
    (scene.path / "0" / "0.0").write_bytes(b"torn")
    opened = workflow.scenes.open(scene.id, (0, 0, 0))
    assert opened.problem == "1 piece of the file cannot be read and is black."
    assert workflow.store.pixels(opened.image)[0, 600, 600].any()


def test_a_scene_that_is_gone_is_told_and_its_regions_stay(workflow: Workflow, scene: SceneRow):
    known = workflow.scenes.open(scene.id, (0, 0, 0)).image
    scene.path.rename(scene.path.with_name("elsewhere"))
    with pytest.raises(Refused, match="put it back"):
        workflow.scenes.open(scene.id, (0, 0, 1))
    assert workflow.scenes.open(scene.id, (0, 0, 0)).image == known


def test_undoing_the_import_takes_the_scene_out_of_sight(workflow: Workflow, scene: SceneRow):
    (act,) = [act for act in workflow.store.acts.newest() if "slide.zarr" in act.title]
    image = workflow.scenes.open(scene.id, (0, 0, 0)).image
    workflow.repair.undo("ann", act.id)
    assert workflow.project("ann")["scenes"] == []
    assert workflow.image(image)["scene"] is None
    workflow.repair.redo("ann", act.id)
    assert workflow.image(image)["scene"] is not None


def test_other_files_are_no_scenes(workflow: Workflow, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(FileRefused, match="without --scene"):
        take_scene(workflow.store, tmp_path / "a.png", Job("import"))


def test_the_command_imports_a_scene_in_place(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = parser().parse_args(["import", str(written), "--project", str(tmp_path / "p")])
    assert run_import(options) == 0
    assert "is a scene of 6 regions" in capsys.readouterr().out
    store = Store.read_only(tmp_path / "p")
    assert [scene.path for scene in store.scenes.all()] == [written] and store.images()[0] == 0
    store.close()


@pytest.fixture
def client(workflow: Workflow, scene: SceneRow) -> Iterator[TestClient]:
    with visit(small_app(workflow)) as client:
        yield client


def test_routes_tell_the_map_and_open_regions(client: TestClient, scene: SceneRow):
    told = client.get(f"/api/scenes/{scene.id}").json()
    assert told["size"] == [1, *SIDES] and str(scene.path) not in str(told)
    overview = client.get(f"/api/scenes/{scene.id}/overview/0")
    assert overview.headers["content-type"] == "image/webp" and overview.content[8:12] == b"WEBP"
    opened = client.post(f"/api/scenes/{scene.id}/open", json={"at": [0, 1, 1]}).json()
    assert client.get(f"/api/images/{opened['image']}").json()["scene"]["at"] == [0, 1, 1]
    outside = client.post(f"/api/scenes/{scene.id}/open", json={"at": [0, 2, 0]})
    assert outside.status_code == 404 and "reload" in outside.json()["error"]
    assert client.get("/api/scenes/99").status_code == 404
    assert client.post(f"/api/scenes/{scene.id}/open", json={"at": [0, -1, 0]}).status_code == 422


def test_what_is_named_at_the_start_is_taken_in_place(workflow: Workflow, written: Path):
    app = small_app(workflow)
    with visit(app):
        job = Job("import")
        run_first_import(app.context, FirstImport(written), job)
    assert "a scene of 6 regions" in job.progress.message
    assert [scene.name for scene in workflow.store.scenes.all()] == ["slide.zarr"]


def test_an_ome_zarr_among_other_files_costs_a_line(workflow: Workflow, written: Path):
    report = import_path(workflow.store, written.parent, Job("import"))
    assert not report.added and "import it by itself" in report.refused[0]
