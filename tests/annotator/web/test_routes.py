"""The HTTP side of docs/protocol.md, and files on their way in."""

import asyncio
import io
import json
import time
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from annotator.server import App
from annotator.server_settings import ServerSettings
from annotator.web import compression as slabs
from annotator.web import uploads
from annotator.web.uploads import MAX_DEPTH, MAX_NAME, Uploads, safe_parts
from annotator.workflow import Workflow
from storage.database import StorageFull
from tests.conftest import ball
from tests.support.asgi_client import client_of, live, small_app, small_workflow, visit

SHAPE = (9, 17, 23)


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Workflow]:
    with small_workflow(tmp_path) as workflow:
        yield workflow


@pytest.fixture
def app(workflow: Workflow) -> App:
    return small_app(workflow, max_file_bytes=1 << 20, max_batch_bytes=3 << 20)


@pytest.fixture
def client(app: App) -> Iterator[TestClient]:
    with visit(app) as client:
        yield client


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (21, 34), np.uint8)
    Image.fromarray(noise).save(buffer, "png")
    return buffer.getvalue()


def wait_for(client: TestClient, app: App, job_id: str) -> dict[str, Any]:
    """What a job said last."""
    until = time.monotonic() + 20
    while app.context.jobs.get(job_id).state == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    return app.context.jobs.get(job_id).as_message()


# facts and pixels


def test_the_project_says_which_it_is(client: TestClient, app: App) -> None:
    project = client.get("/api/project").json()
    assert project["id"] == app.context.sessions.project_id and len(project["id"]) == 16
    assert project["images_total"] == 1 and project["classes"][0]["name"] == "one"


def test_images_are_listed_and_described(client: TestClient) -> None:
    listed = client.get("/api/images", params={"search": "ball"}).json()
    assert listed["total"] == 1 and listed["items"][0]["shape"] == list(SHAPE)
    assert client.get("/api/images", params={"search": "%"}).json()["total"] == 0
    image = client.get("/api/images/1").json()
    assert image["marks"] == [["S", "I"], ["A", "P"], ["R", "L"]] and image["dtype"] == "uint8"


def test_pixels_come_deflated_and_unchanged(client: TestClient) -> None:
    answer = client.get("/api/images/1/pixels", params={"z0": 2, "z1": 5})
    assert answer.headers["content-encoding"] == "deflate"
    assert (np.frombuffer(answer.content, np.uint8).reshape(3, 17, 23) == ball()[0].pixels[2:5]).all()
    plain = client.get("/api/images/1/slice/2/11", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert (np.frombuffer(plain.content, np.uint8).reshape(9, 17) == ball()[0].pixels[:, :, 11]).all()


def test_a_large_slab_is_compressed_while_it_is_sent(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slabs, "WHOLE_BYTES", 100)
    monkeypatch.setattr(slabs, "BLOCK_BYTES", 64)
    for encoding in ("deflate", "identity"):
        answer = client.get("/api/images/1/pixels?z0=0&z1=9", headers={"accept-encoding": encoding})
        assert (np.frombuffer(answer.content, np.uint8).reshape(SHAPE) == ball()[0].pixels).all()
        assert ("content-encoding" in answer.headers) == (encoding == "deflate")


def test_pixels_are_asked_about_again_unless_the_address_names_the_project(client: TestClient) -> None:
    path = "/api/images/1/slice/0/3"
    first = client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    project = client.get("/api/project").json()["id"]
    assert "immutable" in client.get(path, params={"project": project}).headers["cache-control"]
    assert "immutable" not in client.get(path, params={"project": "0" * 16}).headers["cache-control"]


def test_the_store_of_compressed_slabs_is_bounded() -> None:
    kept = slabs.CompressedCache(keep_bytes=5000)
    made = []

    def noise(n: int) -> np.ndarray:
        made.append(n)
        return np.random.default_rng(n).integers(0, 255, 1000, np.uint8)

    for n in (1, 2, 3, 4, 5, 6, 1, 6):
        packed = kept.get(n, partial(noise, n))
        assert isinstance(packed, bytes) and zlib.decompress(packed) == noise(n).tobytes()
    assert [n for n in made[::2]].count(6) <= 2 and kept._bytes <= 5000


def test_labels_come_with_their_revision_and_are_never_kept(client: TestClient) -> None:
    for kind, dtype in (("labels", np.uint8), ("instances", np.uint16)):
        answer = client.get(f"/api/images/1/{kind}", params={"z0": 0, "z1": 9})
        assert answer.headers["x-revision"] == "0" and answer.headers["cache-control"] == "no-store"
        assert np.frombuffer(answer.content, dtype).size == np.prod(SHAPE)


def test_classes_are_edited_and_everybody_hears_of_it(client: TestClient) -> None:
    with live(client) as tab:
        added = client.post("/api/classes", json={"op": "add", "name": "two", "color": "#00ff00"}).json()
        tab.wait("project")
    assert [c["name"] for c in added] == ["one", "two"]
    renamed = client.post("/api/classes", json={"op": "rename", "id": 2, "name": "duo"}).json()
    assert renamed[1]["name"] == "duo"
    assert len(client.post("/api/classes", json={"op": "remove", "id": 2}).json()) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "add"}, 400),
        ({"op": "add", "name": "one"}, 400),
        ({"op": "add", "name": ""}, 422),
        ({"op": "add", "name": "x" * 300}, 422),
        ({"op": "recolor", "id": 1, "color": "red"}, 422),
        ({"op": "code", "id": 1}, 400),
        ({"op": "rename", "id": "1", "name": "x"}, 422),
        ({"op": "rename", "id": 77, "name": "x"}, 404),
        ({"op": "drop"}, 422),
        ([], 422),
        (None, 422),
    ],
    ids=str,
)
def test_an_impossible_change_of_classes_is_refused_in_one_sentence(
    client: TestClient, change: Any, status: int
) -> None:
    answer = client.post("/api/classes", json=change)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].endswith(".") and "\n" not in answer.json()["error"]


def test_the_model_is_chosen_and_everybody_hears_of_it(client: TestClient) -> None:
    name = client.get("/api/project").json()["models"][0]["name"]
    with live(client) as tab:
        tab.wait("model")
        assert client.post("/api/model", json={"name": name}).status_code == 200
        assert tab.wait("model")[0]["name"] == name
    assert client.post("/api/model", json={"name": "../../etc"}).status_code == 404
    assert client.post("/api/model/nothing/download").status_code == 404


NUMBERS = st.integers(-5, 40) | st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63)])
ANYTHING = NUMBERS.map(str) | st.text(max_size=12) | st.sampled_from(["nan", "1e3", "0x1", "%00", "١", ""])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_any_number_in_an_address_is_answered_or_refused_in_one_sentence(
    client: TestClient, data: st.DataObject
) -> None:
    template = data.draw(
        st.sampled_from(
            [
                ("/api/images/{}", []),
                ("/api/images/{}/pixels", ["z0", "z1"]),
                ("/api/images/1/pixels", ["z0", "z1"]),
                ("/api/images/{}/slice/{}/{}", []),
                ("/api/images/1/slice/{}/{}", []),
                ("/api/images/1/labels", ["z0", "z1"]),
                ("/api/images/{}/instances", ["z0", "z1"]),
                ("/api/images", ["offset", "limit", "search"]),
                ("/api/export/{}", []),
            ]
        )
    )
    path = template[0].format(*(data.draw(NUMBERS) for _ in range(template[0].count("{}"))))
    params = {name: data.draw(ANYTHING) for name in template[1]}
    answer = client.get(path, params=params)
    assert answer.status_code in (200, 400, 404, 422), (path, params, answer.text)
    if answer.status_code != 200:
        assert "\n" not in answer.json()["error"] and len(answer.json()["error"]) < 400


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(
    path=st.sampled_from(
        ["/api/classes", "/api/model", "/api/export", "/api/upload/begin", "/api/jobs/x/cancel"]
    ),
    body=st.binary(max_size=80)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(
        lambda value: json.dumps(value).encode()
    ),
)
def test_any_body_is_answered_or_refused_in_one_sentence(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 404, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/ui/..%2f..%2fserver.py",
        "/ui/%2e%2e/%2e%2e/server.py",
        "/ui//etc/passwd",
        "/ui/..\\..\\server.py",
        "/api/export/..%2f..%2fprivate%2fsession.key",
        "/api/export/" + "0" * 16,
        "/api/images/..%2f1",
        "/api/upload/..%2f..%2fx/0",
        "/api/jobs/..%2fx/cancel",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
    ],
)
def test_no_address_leads_to_a_file_elsewhere(client: TestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        answer = client.request(method, path)
        assert answer.status_code in (400, 404, 405, 422), (method, answer.status_code)
        assert "root:" not in answer.text and "import" not in answer.text


def test_our_own_scripts_are_served_and_revalidated(client: TestClient) -> None:
    answer = client.get("/ui/net/link.js")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "private, no-cache"
    assert "javascript" in answer.headers["content-type"]
    again = client.get("/ui/net/link.js", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


# files on their way in


def begin(client: TestClient) -> str:
    return client.post("/api/upload/begin", json={}).json()["batch"]


def put(client: TestClient, batch: str, number: int, name: str, data: bytes) -> int:
    return client.put(f"/api/upload/{batch}/{number}", params={"name": name}, content=data).status_code


def test_an_upload_becomes_images(client: TestClient, app: App) -> None:
    batch = begin(client)
    assert put(client, batch, 0, "cells/a.png", png(1)) == 200
    assert put(client, batch, 1, "cells/b.png", png(2)) == 200
    assert put(client, batch, 2, "cells/notes.png", b"not a picture") == 200
    with live(client) as tab:
        job = client.post(f"/api/upload/{batch}/finish").json()["job"]
        while (said := tab.wait("job", id=job)[0])["state"] == "running":
            pass
        tab.wait("project")
    assert said["state"] == "done" and len(said["refused"]) == 1 and "notes" in said["refused"][0]
    assert client.get("/api/images").json()["total"] == 3
    assert list((app.context.workflow.store.root / "uploads").iterdir()) == []
    assert client.post(f"/api/upload/{batch}/finish").status_code == 404


NASTY = [
    "../../../evil.png",
    "/etc/evil.png",
    "..\\..\\evil.png",
    "C:\\Windows\\evil.png",
    "a/../../b.png",
    "nul\0byte.png",
    "CON.png",
    "aux/lpt1.nii.gz",
    "....//....//evil.png",
    ".hidden/.png",
    "x" * 3000 + ".png",
    "/".join("abcdefghijklmnopqrstuvwxyz") + "/y.png",
    "~/evil.png",
    "a\nb\r.png",
    "trailing. ",
    "e\u0301/\u202egnp.evil",
    "%2e%2e%2fevil.png",
    "?*:<>|.png",
    "/",
    ".",
]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_a_nasty_name_stays_inside_its_upload(client: TestClient, app: App, name: str) -> None:
    root = app.context.workflow.store.root
    changing = {"uploads", "private"}  # sessions are noted while somebody is signed in
    before = {p for p in root.parent.rglob("*") if not changing & {*p.parts}}
    batch = begin(client)
    assert put(client, batch, 0, name, b"data") == 200
    staged = [p for p in (root / "uploads" / batch / "upload").rglob("*") if p.is_file()]
    assert len(staged) == 1 and staged[0].read_bytes() == b"data"
    assert {p for p in root.parent.rglob("*") if not changing & {*p.parts}} == before


@given(name=st.text(max_size=300))
def test_any_name_becomes_one_that_every_system_can_store(name: str) -> None:
    parts = safe_parts(name)
    assert 1 <= len(parts) <= MAX_DEPTH
    for part in parts:
        assert part and len(part.encode()) <= MAX_NAME + 1 and part.isprintable()
        assert not set(part) & set('/\\<>:"|?*\0') and part.strip(". ") == part
        assert part.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("series 1/IM0001", ["series 1", "IM0001"]),
        ("imagesTr/ä_01.nii.gz", ["imagesTr", "ä_01.nii.gz"]),
        ("x" * 200 + ".nii.gz", ["x" * 200 + ".nii.gz"]),
        ("a//./b/../c.png", ["a", "b", "c.png"]),
    ],
)
def test_an_honest_name_keeps_its_folders_and_its_ending(name: str, parts: list[str]) -> None:
    assert safe_parts(name) == parts


def test_two_files_of_one_name_are_two_files_and_a_repeat_replaces(client: TestClient, app: App) -> None:
    batch = begin(client)
    for number, data in ((0, b"first"), (1, b"second"), (0, b"first again")):
        assert put(client, batch, number, "a.png", data) == 200
    assert put(client, batch, 2, "a.png/inside.png", b"third") == 200
    files = (app.context.workflow.store.root / "uploads" / batch / "upload").rglob("*")
    assert sorted(p.read_bytes() for p in files if p.is_file()) == [b"first again", b"second", b"third"]


def test_a_file_or_an_upload_over_the_limit_is_refused_and_leaves_nothing(
    client: TestClient, app: App
) -> None:
    batch = begin(client)
    assert put(client, batch, 0, "big.png", b"x" * ((1 << 20) + 1)) == 413
    chunks = iter([b"x" * 700_000] * 2)
    assert client.put(f"/api/upload/{batch}/0?name=big.png", content=chunks).status_code == 413
    codes = [put(client, batch, n, f"{n}.png", b"x" * (1 << 20)) for n in range(4)]
    assert codes == [200, 200, 200, 400]
    folder = app.context.workflow.store.root / "uploads" / batch
    assert len([p for p in folder.rglob("*") if p.is_file()]) == 3


def test_a_full_disk_is_told_before_labels_suffer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = begin(client)
    monkeypatch.setattr(uploads, "RESERVE", 1 << 62)
    answer = client.put(f"/api/upload/{batch}/0?name=a.png", content=b"x")
    assert answer.status_code == 507 and "disk" in answer.json()["error"] and answer.json()["retry"]


def test_an_upload_belongs_to_whoever_began_it(tmp_path: Path) -> None:
    folder = Uploads(tmp_path / "uploads", ServerSettings())
    batch = folder.begin("ann")
    with pytest.raises(LookupError):
        folder.of(batch, "bob")
    with pytest.raises(LookupError):
        folder.take(batch, "bob")


def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    folder = Uploads(tmp_path / "uploads", ServerSettings())
    batch = folder.of(folder.begin("ann"), "ann")

    async def breaking() -> AsyncIterator[bytes]:
        yield b"some"
        raise StorageFull("the disk is full")

    with pytest.raises(StorageFull):
        asyncio.run(folder.put(batch, 0, "a.png", breaking()))
    assert [p for p in batch.folder.rglob("*") if p.is_file()] == []


def test_abandoned_uploads_make_room_and_a_restart_clears_them(tmp_path: Path) -> None:
    folder = Uploads(tmp_path / "uploads", ServerSettings())
    first = folder.begin("ann")
    for _ in range(3):
        folder.begin("ann")
    with pytest.raises(ValueError, match="four uploads"):
        folder.begin("ann")
    folder.begin("bob")
    folder.of(first, "ann").touched -= 1000
    folder.begin("ann")
    with pytest.raises(LookupError):
        folder.of(first, "ann")
    Uploads(tmp_path / "uploads", ServerSettings())
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_empty_upload_cannot_be_finished(client: TestClient) -> None:
    answer = client.post(f"/api/upload/{begin(client)}/finish")
    assert answer.status_code == 400 and "No file has arrived" in answer.json()["error"]


# exports


def test_an_export_is_made_and_fetched(client: TestClient, app: App) -> None:
    with live(client) as tab:
        said = {"t": "complete", "id": "c1", "image": 1, "axis": 0, "index": 4, "on": True}
        tab.send(said)
        tab.wait("ack")
        job = client.post("/api/export", json={"formats": ["nifti"], "ignore": 255}).json()["job"]
        while (told := tab.wait("job", id=job)[0])["state"] == "running":
            pass
    assert told["state"] == "done" and told["url"] == f"/api/export/{job}"
    answer = client.get(told["url"])
    assert answer.headers["content-type"] == "application/zip"
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert any(name.endswith(".nii.gz") for name in names) and "provenance.json" in " ".join(names)


def test_an_export_that_cannot_be_made_says_why(client: TestClient, app: App) -> None:
    for wish in ({"formats": ["nifti"], "images": [99]}, {"formats": ["nifti"], "ignore": 1}):
        job = client.post("/api/export", json=wish).json()["job"]
        told = wait_for(client, app, job)
        assert told["state"] == "failed" and told["message"].endswith(".") and "url" not in told
        assert client.get(f"/api/export/{job}").status_code == 404
    assert client.post("/api/export", json={"formats": ["dicom"]}).status_code == 422


def test_a_stranger_cannot_fetch_an_export(client: TestClient, app: App) -> None:
    job = client.post("/api/export", json={"formats": ["nifti"]}).json()["job"]
    wait_for(client, app, job)
    assert client_of(app).get(f"/api/export/{job}").status_code == 401
