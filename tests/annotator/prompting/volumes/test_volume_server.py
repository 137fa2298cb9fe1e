"""Prompts that another server answers for a volume: one upload, what is new alone, shared sessions, true words."""

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from annotator.dialects.nninteractive.wire import META, pack
from annotator.prompting.volumes.address import TOKEN_FILE, VolumeAddress, address_with_token
from annotator.prompting.volumes.connection import Declined, Unanswered
from annotator.prompting.volumes.leases import SentVolume
from annotator.prompting.volumes.server import VolumeServer
from annotator.prompting.volumes.steps import PromptStep
from storage.arrays import write_npy
from tests.conftest import ball
from tests.support.volume_servers import Served, dialect_server, scripted_server

BALL, TRUTH = ball((12, 33, 39))
Z, Y, X = (int(v) for v in np.argwhere(TRUTH > 0).mean(axis=0))
CLICK = PromptStep("point", 0, Z, True, ((Y, X),))
UPLOADS = ("/set_image", "/set_target_buffer")
SMALL = np.ones((2, 3, 4), np.uint8)


@pytest.fixture
def volume(tmp_path: Path) -> SentVolume:
    write_npy(tmp_path / "ball.npy", np.asarray(BALL.pixels))
    return SentVolume(tmp_path / "ball.npy", TRUTH.shape, (3.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with dialect_server(tmp_path_factory.mktemp("other")) as served:
        yield served


@pytest.fixture
def client(other: Served) -> Iterator[VolumeServer]:
    server = VolumeServer(VolumeAddress(other.address), 0.05)
    yield server
    server.close()


def dice(mask: np.ndarray) -> float:
    return float(2 * np.sum(mask & (TRUTH > 0)) / max(1, mask.sum() + (TRUTH > 0).sum()))


def test_prompts_of_every_kind_and_plane_find_the_object(client: VolumeServer, volume: SentVolume):
    inside = np.argwhere(TRUTH[Z] > 0)
    (r0, c0), (r1, c1) = inside.min(axis=0), inside.max(axis=0) + 1
    assert dice(client.mask(volume, [CLICK])) > 0.85
    box = PromptStep("bbox", 0, Z, True, ((r0, c0), (r1, c1)))
    assert dice(client.mask(volume, [box])) > 0.8
    stroke = PromptStep("scribble", 2, X, True, ((Z, Y - 3), (Z, Y + 3)))
    assert dice(client.mask(volume, [stroke])) > 0.8
    corners = ((r0, c0), (r0, c1 - 1), (r1 - 1, c1 - 1), (r1 - 1, c0))
    assert dice(client.mask(volume, [PromptStep("lasso", 0, Z, True, corners)])) > 0.8


def test_a_further_prompt_corrects_and_one_taken_back_is_as_never_said(
    client: VolumeServer, volume: SentVolume
):
    first = client.mask(volume, [CLICK])
    away = (Z, int(np.argwhere(TRUTH[Z] > 0)[0][0]) + 1, X)
    beside = PromptStep("point", 0, Z, False, (away[1:],))
    assert first[away] and not client.mask(volume, [CLICK, beside])[away]
    np.testing.assert_array_equal(client.mask(volume, [CLICK]), first)


def told_by(changed: np.ndarray, box: list[list[int]]) -> tuple[int, dict[str, str], bytes]:
    return 200, {META: json.dumps({"ran_prediction": True, "bbox": box})}, pack(changed)


def test_a_volume_is_sent_once_and_a_session_serves_who_comes_next(tmp_path: Path, volume: SentVolume):
    whole = told_by(SMALL, [[0, 2], [0, 3], [0, 4]])
    with scripted_server({CLICK.path: whole}) as script:
        server = VolumeServer(VolumeAddress(script.address, "secret"))
        other = PromptStep("point", 0, Z, True, ((1, 1),))
        for steps in ([CLICK], [CLICK, other], [other], [other]):  # of two people, taking turns
            assert server.mask(volume, steps).sum() == SMALL.sum()
        script.answers["/claim"] = 503, {}, b""  # so the one session takes the next volume
        server.mask(SentVolume(volume.path, volume.shape, (1.0, 1.0, 1.0)), [CLICK])
        server.close()
    told = [path for path in script.asked if path != "/heartbeat"]
    asked = [CLICK.path] * 2 + ["/reset_interactions", CLICK.path]
    assert told == ["/claim", *UPLOADS, *asked, "/claim", *UPLOADS, CLICK.path, "/release"]
    assert script.tokens == {"Bearer secret"}


def test_a_session_that_ended_is_taken_anew_and_everything_told_again(
    volume: SentVolume, other: Served, client: VolumeServer
):
    before = client.mask(volume, [CLICK])
    lease = client._leases[0]
    client._connection.release(lease.granted.token)
    beside = PromptStep("point", 0, Z, True, ((Y, X + 1),))
    assert (client.mask(volume, [CLICK, beside]) & before).any() and not client.why


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "is busy with other people"),
        (401, "does not take our token"),
        (404, "answered 404"),
        (302, "answered 302"),
    ],
)
def test_why_a_server_is_not_asked_is_said_truly(volume: SentVolume, status: int, words: str):
    with scripted_server({"/claim": (status, {}, b"")}) as script:
        server = VolumeServer(VolumeAddress(script.address), 60.0)
        with pytest.raises(Unanswered, match=words):
            server.mask(volume, [CLICK])
        count = len(script.asked)
        with pytest.raises(Unanswered, match=words):  # at once, and nobody is asked
            server.mask(volume, [CLICK])
        assert len(script.asked) == count and words in server.why
        server.close()


def lengthened(shape: tuple[int, ...]) -> bytes:
    """A mask that says of itself that it is larger."""
    packed = bytearray(pack(SMALL))
    packed[13:37] = struct.pack("<3q", *shape)
    return bytes(packed)


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        ({"bbox": [[0, 2], [0, 3], [0, 99]]}, pack(SMALL), "outside the volume"),
        ({"bbox": [[0, 2], [0, 3], [4, 0]]}, pack(SMALL), "outside the volume"),
        ({"bbox": [[0, 2], [0, 3]]}, pack(SMALL), "head that cannot be read"),
        ({"bbox": [[0, 2], [0, 3], [0, 5]]}, pack(SMALL), "mask that cannot be read"),
        ({"bbox": [[0, 2], [0, 3], [0, 4]]}, lengthened((1 << 20, 3, 4)), "mask that cannot be read"),
        ({"bbox": [[0, 2], [0, 3], [0, 4]]}, pack(SMALL)[:-3], "mask that cannot be read"),
        ({"bbox": [[0, 2], [0, 3], [0, 4]]}, bytes(2 << 20), "more than a mask of this volume can have"),
    ],
)
def test_what_no_server_would_answer_is_not_believed(volume: SentVolume, head: dict, body: bytes, words: str):
    with scripted_server({CLICK.path: (200, {META: json.dumps(head)}, body)}) as script:
        server = VolumeServer(VolumeAddress(script.address), 60.0)
        with pytest.raises(Unanswered, match=words):
            server.mask(volume, [CLICK])
        server.close()


def test_one_prompt_that_fails_there_does_not_lose_the_server(volume: SentVolume):
    with scripted_server({CLICK.path: (500, {}, b'{"detail": "no  center"}')}) as script:
        server = VolumeServer(VolumeAddress(script.address), 60.0)
        with pytest.raises(Declined, match=r"answered 500 \(no center\)"):
            server.mask(volume, [CLICK])
        script.answers[CLICK.path] = told_by(SMALL, [[0, 2], [0, 3], [0, 4]])
        assert server.mask(volume, [CLICK]).any() and "/reset_interactions" in script.asked
        server.close()


def test_a_server_that_comes_back_is_found_by_itself(tmp_path: Path, volume: SentVolume):
    told: list[str] = []
    back = threading.Event()
    whole = told_by(SMALL, [[0, 2], [0, 3], [0, 4]])
    with scripted_server({CLICK.path: whole, "/claim": (503, {}, b"")}) as script:
        server = VolumeServer(VolumeAddress(script.address), 0.02)

        def changed() -> None:
            told.append(server.why)
            if not server.why:
                back.set()

        server.changed = changed
        with pytest.raises(Unanswered):
            server.mask(volume, [CLICK])
        script.answers["/claim"] = 200, {}, b'{"lease_token": "two"}'
        assert back.wait(20)
        assert server.mask(volume, [CLICK]).any()
        assert "busy" in told[0] and told[-1] == ""
        server.close()


def test_an_image_that_is_open_is_sent_before_the_first_click(volume: SentVolume):
    sent = threading.Event()
    with scripted_server({}) as script:
        server = VolumeServer(VolumeAddress(script.address), 0.02)
        server.look(volume)
        for _ in range(1000):
            if script.asked[-1:] == ["/set_target_buffer"]:
                break
            sent.wait(0.02)
        assert script.asked == ["/claim", *UPLOADS]
        server.close()


@pytest.mark.parametrize(
    "url", ["host:1527", "ftp://host", "http://", "http://me:word@host", "http://h/?a=1"]
)
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(ValueError, match=r"address"):
        VolumeAddress(url)


def test_the_token_comes_from_the_private_folder_and_is_never_shown(tmp_path: Path):
    assert address_with_token("http://host:1/", tmp_path).token == ""
    (tmp_path / TOKEN_FILE).write_text("geheim\n")
    found = address_with_token("http://host:1/", tmp_path)
    assert found == VolumeAddress("http://host:1", "geheim") and "geheim" not in repr(found)
    (tmp_path / TOKEN_FILE).write_text("two words\n")
    with pytest.raises(ValueError, match="one line without spaces"):
        address_with_token("http://host:1", tmp_path)
