"""Downloads against a real HTTP server: whole, cut, continued, damaged, cancelled, on a full disk, offline."""

import errno
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from models import PROMPT_MODELS, weights
from models.weights import CATALOGUE, DownloadFailed, Weights, fetch, find

CONTENT = bytes(range(256)) * 9001  # 2.3 MB, three chunks


@dataclass
class Server:
    """What the next answers do, and what was asked."""

    address: str = ""
    ranges: bool = True
    cut_at: int | None = None
    content: bytes = CONTENT
    status: int = 200
    kind: str = "application/octet-stream"
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("SLICEWISE_MIRROR", "SLICEWISE_WEIGHTS", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            start = int(asked[len("bytes=") : -1]) if asked and state.ranges else 0
            if start >= len(state.content) > 0 and asked and state.ranges:
                self.send_error(416)
                return
            if state.status != 200:
                self.send_error(state.status)
                return
            body = state.content[start:]
            self.send_response(206 if asked and state.ranges else 200)
            self.send_header("Content-Type", state.kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if state.cut_at is None else body[: max(0, state.cut_at - start)])

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        state.address = f"http://127.0.0.1:{running.server_port}/net.pth"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture
def net(server: Server) -> Weights:
    return Weights("net.pth", server.address, "CC0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def silent(have: int, total: int) -> None: ...


def test_a_download_is_checked_reported_and_then_found(server, net, tmp_path):
    seen: list[tuple[int, int]] = []
    path = fetch(net, lambda have, total: seen.append((have, total)), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT and find(net, path.parent) == path
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) >= 4
    assert [p.name for p in path.parent.iterdir()] == ["net.pth"]
    fetch(net, silent, path.parent)
    assert len(server.asked) == 1


def test_a_cut_transfer_is_refused_and_continued_where_it_ended(server, net, tmp_path):
    server.cut_at = 1_500_000
    with pytest.raises(DownloadFailed, match="connection|IncompleteRead"):
        fetch(net, silent, tmp_path)
    kept = (tmp_path / "net.pth.part").stat().st_size
    assert kept > 0 and find(net, tmp_path) is None
    server.cut_at = None
    assert fetch(net, silent, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={kept}-"


def test_a_server_that_cannot_continue_starts_again(server, net, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert fetch(net, silent, tmp_path).read_bytes() == CONTENT


def test_a_part_of_unknown_length_that_is_already_whole_is_taken_again(server, net, tmp_path):
    (tmp_path / "net.pth.part").write_bytes(b"x" * (len(CONTENT) + 5))
    assert fetch(replace(net, size=None), silent, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(server, net, tmp_path):
    with pytest.raises(DownloadFailed, match="damaged"):
        fetch(replace(net, sha256="0" * 64), silent, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_git_blob_name_is_a_checksum_too(server, net, tmp_path):
    name = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    fetch(replace(net, sha256=None, git_blob=name), silent, tmp_path / "a")
    with pytest.raises(DownloadFailed, match="damaged"):
        fetch(replace(net, sha256=None, git_blob="1" * 40), silent, tmp_path / "b")


def test_cancelling_keeps_what_arrived(server, net, tmp_path):
    def stop(have: int, total: int) -> None:
        if have > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(net, stop, tmp_path)
    assert (tmp_path / "net.pth.part").stat().st_size > 1_000_000 and find(net, tmp_path) is None
    assert fetch(net, silent, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] is not None


def test_a_full_disk_is_said_before_and_during_the_download(server, net, tmp_path, monkeypatch):
    with pytest.raises(DownloadFailed, match="disk is full: free"):
        fetch(replace(net, size=1 << 60), silent, tmp_path)
    assert server.asked == []

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "pour", full)
    with pytest.raises(DownloadFailed, match="disk is full"):
        fetch(net, silent, tmp_path)


def test_a_sign_in_page_is_not_taken_for_weights(server, net, tmp_path):
    server.kind, server.content = "text/html", b"<html>please sign in</html>"
    with pytest.raises(DownloadFailed, match="web page"):
        fetch(net, silent, tmp_path)
    assert find(net, tmp_path) is None and not (tmp_path / "net.pth.part").exists()


def test_another_file_at_the_address_is_noticed_by_its_size(server, net, tmp_path):
    server.content = CONTENT[:-7]
    with pytest.raises(DownloadFailed, match="expected are"):
        fetch(net, silent, tmp_path)


def test_offline_and_refused_answers_say_what_to_do(server, net, tmp_path):
    with pytest.raises(DownloadFailed, match="SLICEWISE_MIRROR.*put net.pth into"):
        fetch(replace(net, url="http://127.0.0.1:9/net.pth"), silent, tmp_path)
    server.status = 404
    with pytest.raises(DownloadFailed, match="answered 404"):
        fetch(net, silent, tmp_path)


def test_a_mirror_folder_or_address_replaces_the_internet(server, net, tmp_path, monkeypatch):
    away = replace(net, url="https://nowhere.invalid/net.pth")
    monkeypatch.setenv("SLICEWISE_MIRROR", server.address.rsplit("/", 1)[0] + "/")
    assert fetch(away, silent, tmp_path / "a").read_bytes() == CONTENT
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("SLICEWISE_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DownloadFailed, match="mirror folder has no net.pth"):
        fetch(away, silent, tmp_path / "b")
    (tmp_path / "mirror" / "net.pth").write_bytes(CONTENT)
    assert fetch(away, silent, tmp_path / "b").read_bytes() == CONTENT


def test_a_socks_proxy_is_named_where_a_download_fails(net, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    with (
        pytest.raises(DownloadFailed, match="SOCKS proxy, .* name an http:// one"),
        weights.plain_errors(net, tmp_path),
    ):
        raise ConnectionResetError("reset")


def test_the_proxy_of_the_environment_is_used(server, net, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address.rsplit("/", 1)[0])
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch(replace(net, url="http://nowhere.invalid/net.pth"), silent, tmp_path).read_bytes() == CONTENT


def test_the_folder_is_a_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("SLICEWISE_WEIGHTS", str(tmp_path / "here"))
    assert weights.weights_folder() == Path(tmp_path / "here")


def test_what_has_no_address_says_where_to_get_it(tmp_path):
    with pytest.raises(DownloadFailed, match="get it from the MedSAM project"):
        fetch(CATALOGUE["medsam"], silent, tmp_path)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_catalogue_entry_can_be_checked_and_named(name):
    entry = CATALOGUE[name]
    assert "/" not in entry.file and entry.licence
    assert entry.sha256 or entry.git_blob if entry.url else entry.source
    if entry.sha256:
        assert len(entry.sha256) == 64 and int(entry.sha256, 16)


def test_every_model_that_needs_weights_finds_them_in_the_catalogue():
    assert {e.weights for e in PROMPT_MODELS.values() if e.weights} <= CATALOGUE.keys()


def test_a_folder_of_weights_is_found_as_a_whole(tmp_path):
    entry = CATALOGUE["sam2.1_tiny"]
    (tmp_path / entry.file).mkdir()
    assert find(entry, tmp_path) is None
    (tmp_path / entry.file / "model.safetensors").write_bytes(b"x")
    assert find(entry, tmp_path) == tmp_path / entry.file
