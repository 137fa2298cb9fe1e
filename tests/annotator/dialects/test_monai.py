"""MONAI Label's protocol, as its clients write it: what goes out and comes back, and whose label it becomes."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from annotator.prompting.service import PromptService
from annotator.workflow import Workflow
from storage import formats
from storage.arrays import UNLABELLED, SliceRef
from storage.predictions import NewPrediction
from storage.rows import NewLabel
from storage.store import Store
from tests.conftest import ball, drawn
from tests.support.asgi_client import client_of, small_app, small_workflow
from tests.support.monai_client import MonaiClient

ANGLE = 0.4


@dataclass
class Desk:
    """A server with one volume, and a client on this computer."""

    workflow: Workflow
    client: MonaiClient
    folder: Path

    @property
    def user(self) -> str:
        from annotator.access.accounts import local_user

        return local_user()

    def known(self, image: int = 1) -> NDArray[np.uint8]:
        return self.workflow.labels(image, 0, self.workflow.store.image(image).shape[0])[0]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with small_workflow(tmp_path) as workflow:
        app = small_app(workflow, fill=True, serve=("monai",))
        with client_of(app) as http:
            yield Desk(workflow, MonaiClient(http), tmp_path)


def scan(folder: Path, kind: str) -> Path:
    """A ball in a file that lies askew, backwards or in thick slices."""
    turn = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1.0]])
    axes = {
        "oblique": turn @ np.diag([0.8, 0.8, 3.0]),
        "flipped": np.diag([-1.0, 1.0, -2.0]),
        "sagittal": np.array([[0, 0, 4.0], [0.7, 0, 0], [0, -0.7, 0]]),
    }[kind]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (12.5, -30.25, 7.0)
    pixels = ball((9, 17, 23))[0].pixels.transpose(2, 1, 0).astype(np.int16)
    path = folder / f"{kind}.nii.gz"
    nib.save(nib.Nifti1Image(pixels, affine), path)
    return path


def saved(path: Path, label: nib.Nifti1Image, values: NDArray[Any]) -> Path:
    """As 3D Slicer saves it: the same voxels and their place, with a header of its own."""
    image = sitk.GetImageFromArray(np.asarray(values, np.uint8).transpose(2, 1, 0))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ label.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    return path


def fetched(desk: Desk, path: str) -> nib.Nifti1Image:
    answer = desk.client.ask("GET", path)
    assert answer.status_code == 200, answer.text
    assert 'filename="' in answer.headers["content-disposition"]
    return nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))


@pytest.mark.parametrize("kind", ["oblique", "flipped", "sagittal"])
def test_image_and_label_go_out_and_come_back_voxel_by_voxel(desk: Desk, kind: str):
    source = scan(desk.folder, kind)
    image = desk.client.form("PUT", "/datastore/?image=None", {"params": {}}, {"file": source}).json()[
        "image"
    ]
    original, out = nib.Nifti1Image.from_filename(source), fetched(desk, f"/datastore/image?image={image}")
    np.testing.assert_array_equal(np.asarray(out.dataobj), np.asarray(original.dataobj))
    np.testing.assert_array_equal(out.affine, original.affine)
    for name in ("None", "another"):
        again = desk.client.form("PUT", f"/datastore/?image={name}", {"params": {}}, {"file": source}).json()
        assert again == {"image": image}, "the same image adds nothing"

    values = np.zeros(original.shape, np.uint8)
    values[5:9, 3:11, 2:6] = 1
    values[12:15, 4:6, 7] = 2
    label = saved(desk.folder / "label.nii.gz", original, values)
    params = {"label_info": [{"name": "liver", "idx": 1}, {"name": "one", "idx": 2}]}
    answer = desk.client.form(
        "PUT", f"/datastore/label?image={image}&tag=final", {"params": params}, {"label": label}
    )
    assert answer.json()["slices"] == 5, answer.text
    back = fetched(desk, f"/datastore/label?label={image}&tag=final")
    numbers = desk.client.ask("GET", "/info/").json()["labels"]
    expected = np.where(values == 1, numbers["liver"], np.where(values == 2, numbers["one"], 0))
    np.testing.assert_array_equal(np.asarray(back.dataobj), expected)

    again = saved(desk.folder / "again.nrrd", original, np.asarray(back.dataobj))
    clock = desk.workflow.store.newest_label()
    answer = desk.client.form("PUT", f"/datastore/label?image={image}", {"params": {}}, {"label": again})
    assert answer.json()["slices"] == 0 and desk.workflow.store.newest_label() == clock


def submit(desk: Desk, values: NDArray[np.uint8], tag: str = "final") -> Any:
    """(Z, Y, X) in display order, of the volume of the fixture, whose file says no orientation."""
    path = desk.folder / "label.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    answer = desk.client.form(
        "PUT", f"/datastore/label?image=1-ball&tag={tag}", {"params": {}}, {"label": path}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_saved_label_is_one_act_of_that_person_on_the_slices_that_changed(desk: Desk):
    truth = ball()[1]
    store = desk.workflow.store
    assert submit(desk, np.where(np.arange(9)[:, None, None] < 5, truth, 0).astype(np.uint8))["slices"] == 3
    known = desk.known()
    assert (known[2:5] == truth[2:5]).all() and (known[[0, 1, 5, 6, 7, 8]] == UNLABELLED).all()
    labels = store.labels(1)
    assert {row.author for row in labels} == {desk.user}
    assert {row.prompts["tool"] for row in labels} == {"MONAI Label"}
    (step,) = desk.workflow.history(desk.user)["undo"]
    from annotator.protocol.incoming import UndoMessage

    desk.workflow.commit(desk.user, UndoMessage(t="undo", id="u1", target=step["id"]), b"")
    assert (desk.known() == UNLABELLED).all()


def test_what_another_person_said_meanwhile_stands(desk: Desk):
    desk.workflow.store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 3), np.uint8), author="ben"))
    told = submit(desk, ball()[1])
    assert told["conflict"] == {"by": "ben", "pixels": 9}
    assert (desk.known()[4, :3, :3] == 1).all()
    fetched(desk, "/datastore/label?label=1-ball&tag=final")
    assert "conflict" not in submit(desk, ball()[1])
    assert (desk.known()[4, :3, :3] == 0).all()


def propose(desk: Desk) -> NDArray[np.uint8]:
    proposal = ball()[1]
    sure = np.full(proposal.shape, 200, np.uint8)
    desk.workflow.store.predictions.add(NewPrediction(1, "supervised", "predicted", 0, proposal, sure))
    return proposal


def test_a_proposal_comes_with_the_label_and_each_slice_says_what_became_of_it(desk: Desk):
    proposal = propose(desk)
    out = np.asarray(fetched(desk, "/datastore/label?label=1-ball&tag=original").dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(out, proposal)
    mended = proposal.copy()
    mended[3, 7, 9:12] = 0
    mended[6] = 0
    submit(desk, mended)
    assert (desk.known()[6] == 0).all(), "what was shown there was taken away"
    sources = {row.index: row.source for row in desk.workflow.store.labels(1) if row.kind == "patch"}
    assert sources == {2: "accepted", 3: "refined", 4: "accepted", 5: "accepted"}


@pytest.mark.parametrize("model", ["click_slice", "click_volume"])
def test_a_click_is_answered_where_the_file_has_it(desk: Desk, model: str):
    source = scan(desk.folder, "oblique")
    image = desk.client.form("PUT", "/datastore/image?image=None", {"params": {}}, {"file": source}).json()[
        "image"
    ]
    params = {
        "foreground": [[9, 7, 4]],
        "background": [],
        "label": "liver",
        "slice": 4,
        "result_extension": ".nrrd",
    }
    content, told = desk.client.infer(model, image, params)
    assert told["label_names"] == {"liver": 1}
    (desk.folder / "mask.nrrd").write_bytes(content)
    mask, grid = formats.read_labels(desk.folder / "mask.nrrd")
    original = formats.look(source).grid
    np.testing.assert_allclose(np.array(grid.affine), np.array(original.affine), atol=1e-5)
    truth = original.to_display(ball()[1].transpose(2, 1, 0))
    there = [int((mask[z] == 1).sum()) for z in range(len(mask))]
    on = original.axes.index(2), 4 if not original.flips[original.axes.index(2)] else 4
    assert mask.shape == truth.shape and there[on[1]] > 0
    overlap = int(((mask == 1) & (truth == 1)).sum())
    wanted = truth if model == "click_volume" else truth[on[1]][None]
    assert 2 * overlap / (int((mask == 1).sum()) + int(wanted.sum())) > 0.7
    if model == "click_slice":
        assert sum(n > 0 for n in there) == 1


def test_strokes_spread_through_the_volume(desk: Desk):
    strokes = np.zeros((9, 17, 23), np.uint8)
    strokes[4, 7, 6:12], strokes[4, 1, 2:20], strokes[4, 15, 2:20] = 3, 2, 2
    path = desk.folder / "strokes.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(strokes), str(path))
    names = [
        {"name": n, "id": i} for i, n in enumerate(("one", "background_scribbles", "foreground_scribbles"), 1)
    ]
    params = {"label_info": names, "selected_label_name": "one", "result_compress": False}
    content, told = desk.client.infer("scribbles", "1-ball", params, label=path)
    mask = np.frombuffer(content.partition(b"\n\n")[2], np.uint8).reshape(9, 17, 23)
    truth = ball()[1]
    assert told["label_names"] == {"one": 1}
    assert 2 * ((mask == 1) & (truth == 1)).sum() / (mask.sum() + truth.sum()) > 0.7


def test_the_newest_proposal_is_the_automatic_answer(desk: Desk):
    answer = desk.client.form("POST", "/infer/proposed?image=1-ball", {"params": {}}, {})
    assert answer.status_code == 404 and "label an object on one slice" in answer.text
    proposal = propose(desk)
    content, told = desk.client.infer("proposed", "1-ball", {"result_compress": False})
    assert told["label_names"] == {"one": 1}
    np.testing.assert_array_equal(
        np.frombuffer(content.partition(b"\n\n")[2], np.uint8).reshape(9, 17, 23), proposal
    )


def test_the_plugins_own_order_of_calls(desk: Desk):
    """3D Slicer's: connect, next sample, fetch, first label, submit, train, status, stop."""
    ask = desk.client.ask
    assert ask("GET", "/").status_code == 200
    assert ask("GET", "/auth/").json() == {"enabled": False}
    info = ask("GET", "/info/").json()
    assert "config" not in info and info["datastore"]["total"] == 1
    assert {m["type"] for m in info["models"].values()} == {"deepgrow", "scribbles", "segmentation"}
    assert all({"description", "config"} <= set(t) for t in info["trainers"].values())
    sample = ask("POST", f"/activelearning/{next(iter(info['strategies']))}", {"client_id": "x"}).json()
    assert sample["id"] == "1-ball" and sample["name"] == "1-ball.nii.gz"
    assert ask("HEAD", f"/datastore/image?image={sample['id']}").status_code == 200
    assert fetched(desk, f"/datastore/image?image={sample['id']}").shape == (23, 17, 9)
    submit(desk, ball()[1])
    objects = ask("GET", "/datastore/?output=all").json()["objects"]
    for tag in ("final", "original"):
        assert objects["1-ball"]["labels"][tag]["info"]["params"]["label_names"] == {"one": 1}
    assert ask("POST", "/activelearning/default", {"client_id": "x"}).json() == {}
    assert ask("GET", "/train/?check_if_running=true").status_code == 404
    assert ask("DELETE", "/train/").json() is None
    refused = ask("POST", "/train/supervised", {"client_id": "x"})
    assert refused.status_code == 409 and "--no-learn" in refused.json()["error"]
    assert ask("GET", "/logs/?lines=5").status_code == 200


def test_a_reviewers_states_are_our_flags(desk: Desk):
    submit(desk, ball()[1], tag="version_1")
    path = "/datastore/label/info?label=1-ball&tag=version_1"
    meta = {"segmentationMeta": {"status": "flagged", "level": "hard", "comment": "too large"}}
    update = "/datastore/updatelabelinfo?label=1-ball&tag=version_1"
    assert desk.client.form("PUT", update, {"params": meta}, {}).status_code == 200
    assert desk.workflow.store.image_states.with_trait("flag") == [1]
    assert desk.client.ask("GET", path).json()["segmentationMeta"] == meta["segmentationMeta"]
    desk.workflow.mark("ben", 1, "flag", False)
    assert desk.client.ask("GET", path).json()["segmentationMeta"]["status"] == "segmented"
    submit(desk, np.zeros((9, 17, 23), np.uint8))
    first = np.asarray(fetched(desk, "/datastore/label?label=1-ball&tag=version_1").dataobj)
    np.testing.assert_array_equal(first.transpose(2, 1, 0), ball()[1])


def test_a_lent_image_is_asked_about_and_forgotten(desk: Desk):
    source = scan(desk.folder, "flipped")
    lent = desk.client.form("PUT", "/session/", {"params": {}}, {"files": source}).json()
    session = lent["session_id"]
    assert desk.client.ask("GET", f"/session/{session}").json() == lent["session_info"]
    answer = desk.client.form(
        "POST", f"/infer/click_slice?image=&session_id={session}", {"params": {"foreground": [[9, 7, 4]]}}, {}
    )
    assert answer.status_code == 200, answer.text
    assert len(desk.workflow.store.images()[1]) == 1
    assert desk.client.ask("DELETE", f"/session/{session}").status_code == 200
    assert desk.client.ask("GET", f"/session/{session}").status_code == 404


@pytest.mark.parametrize(
    ("file", "params", "line"),
    [
        ("x.txt", {}, "has none of the endings"),
        ("x.nrrd", {}, "cannot be read as NRRD"),
        ("y.nrrd", {"label_info": [{"name": "a", "idx": 1}, {"name": "b", "idx": 1}]}, "two names"),
        (
            "y.nrrd",
            {"label_info": [{"name": "a", "idx": 7}]},
            "holds the value 1 and nothing says what it is",
        ),
        ("small.nrrd", {}, "its grid is"),
    ],
)
def test_a_label_that_cannot_be_read_rightly_is_refused_in_one_sentence(
    desk: Desk, file: str, params: Any, line: str
):
    (desk.folder / "x.txt").write_text("no label")
    (desk.folder / "x.nrrd").write_text("no label")
    sitk.WriteImage(sitk.GetImageFromArray(ball()[1]), str(desk.folder / "y.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(ball()[1][:4]), str(desk.folder / "small.nrrd"))
    fields = {"params": params}
    answer = desk.client.form("PUT", "/datastore/label?image=1-ball", fields, {"label": desk.folder / file})
    assert answer.status_code == 400 and line in answer.json()["error"], answer.text
    assert desk.workflow.store.newest_label() == 0


def test_a_form_is_read_by_its_own_first_line_where_its_header_is_that_of_an_earlier_one(desk: Desk):
    """What the Python client does with sessions once somebody has signed in."""
    source = scan(desk.folder, "flipped")
    head = b'--abc\r\nContent-Disposition: form-data; name="files"; filename="x.nii.gz"\r\n\r\n'
    body = head + source.read_bytes() + b"\r\n--abc--\r\n"
    for stale in ("application/json", "multipart/form-data; boundary=earlier"):
        answer = desk.client.http.put("/monai/session/", content=body, headers={"content-type": stale})
        assert answer.status_code == 200, answer.text


class GatedExecutor(Executor):
    """Takes a round and does not end it."""

    def __init__(self) -> None:
        self.rounds: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.rounds.append(Future())
        return self.rounds[-1]


def test_training_is_started_watched_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gate = GatedExecutor()
    monkeypatch.setattr("learners.engines.make_engine", lambda *_: gate)
    with small_workflow(tmp_path) as workflow:
        store = workflow.store
        for z in (3, 4):
            store.add_label(drawn(SliceRef(1, 0, z), ball()[1][z]))
            store.add_label(NewLabel(SliceRef(1, 0, z), None, f"complete-{z}", "ann"))
        app = small_app(workflow, fill=True, serve=("monai",))
        assert workflow.background is not None
        workflow.background.scheduler.off = ""
        workflow.background.scheduler.open()
        with client_of(app) as http:
            client = MonaiClient(http)
            task = client.ask("POST", "/train/supervised", {"client_id": "x"}).json()
            assert task["status"] == "RUNNING" and task["model"] == "supervised" and task["details"]
            assert client.ask("GET", "/train/?check_if_running=true").status_code == 200
            assert client.ask("POST", "/train/supervised", {"client_id": "x"}).status_code == 429
            stopped = client.ask("DELETE", "/train/").json()
            assert stopped["status"] == "STOPPED" and stopped["details"][-1]
            for running in gate.rounds:
                running.set_exception(RuntimeError("the test ends it"))
            workflow.background.scheduler.reconcile()
            assert client.ask("GET", "/train/").status_code in (200, 404)
            assert client.ask("POST", "/train/nonsense", {"client_id": "x"}).status_code == 404


def test_a_project_that_is_only_looked_at_is_shown_and_not_changed(tmp_path: Path):
    with small_workflow(tmp_path) as workflow:
        workflow.store.add_label(drawn(SliceRef(1, 0, 4), np.ones((3, 3), np.uint8)))
    store = Store.read_only(tmp_path / "project")
    workflow = Workflow(store, PromptService(store))
    try:
        with client_of(small_app(workflow, fill=True, serve=("monai",))) as http:
            client = MonaiClient(http)
            assert client.ask("GET", "/datastore/label?label=1-ball&tag=final").status_code == 200
            refused = client.form("PUT", "/datastore/label?image=1-ball", {"params": {}}, {})
            assert refused.status_code == 409
    finally:
        workflow.close()


def test_the_real_client_does_all_it_can(tmp_path: Path):
    pytest.importorskip("monailabel.client", reason="monailabel is not installed")
    from benchmarks.hub.__main__ import CALLS, SMALL, WHO, running

    with running(tmp_path, SMALL) as (app, port):
        app.context.sessions.accounts.add_user(*WHO)
        voxel = ",".join(map(str, reversed(SMALL.centre)))
        asked = [str(CALLS), f"http://127.0.0.1:{port}/monai", str(tmp_path), voxel, *WHO]
        done = subprocess.run(
            [sys.executable, *asked], capture_output=True, text=True, timeout=100, check=False
        )
    assert done.returncode == 0 and done.stdout.count("ok ") > 20, done.stdout + done.stderr
