"""The files of docs/guide/administration.md: systemd takes the service, and real proxies pass the app on."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from websockets.sync.client import connect
from websockets.typing import Origin

import app
from annotator.access.accounts import Accounts
from annotator.protocol.frames import pack, unpack
from tests.conftest import ROOT
from tests.support.chromium import RunningServer, start_server

PASSWORD = "correct horse battery"
LARGE = 3 << 20  # more than nginx takes unless told
NGINX = """daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{block} }}"""
CADDY = "{{\n admin off\n auto_https off\n storage file_system {folder}\n}}\n{block}"


def example(language: str) -> str:
    """The example of the page in this language."""
    page = (ROOT / "docs/guide/administration.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(found)


# the service


def test_the_command_of_the_service_is_one_that_the_program_takes():
    (line,) = re.findall(r"^ExecStart=\S+/python app\.py (.+)$", example("ini"), re.MULTILINE)
    options = app.parser().parse_args(line.split())
    assert options.root_path == "/label" and options.https and options.name == ["scans.example"]
    assert str(options.project).startswith(
        re.findall(r"^ReadWritePaths=(.+)$", example("ini"), re.MULTILINE)[0]
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_finds_no_fault_in_the_service(tmp_path: Path):
    service = tmp_path / "slicewise.service"
    text = example("ini").replace("/opt/slicewise/.venv/bin/python", sys.executable)
    service.write_text(text.replace("User=slicewise\n", ""))  # a user that this machine need not have
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", service], capture_output=True, text=True, timeout=60
    )
    assert "slicewise" not in done.stderr, done.stderr


# the proxies


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("behind")
    Accounts(folder / "p" / "private").add_user("ann", PASSWORD)
    options = ("--root-path", "/label", "--https", "--sign-in", "--no-fill", "--no-download")
    running = start_server(folder, "--project", "p", *options)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem, key.pem and ca.pem for localhost."""
    folder = tmp_path_factory.mktemp("certificate")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


def nginx(folder: Path, block: str, port: int, certificate: Path) -> list[str]:
    block = block.replace("443 ssl", f"127.0.0.1:{port} ssl").replace("scans.example;", "localhost;")
    block = block.replace("/etc/ssl/scans.example.pem", str(certificate / "cert.pem"))
    block = block.replace("/etc/ssl/scans.example.key", str(certificate / "key.pem"))
    user = "user root;" if os.name == "posix" and os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder, block=block))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, block: str, port: int, certificate: Path) -> list[str]:
    tls = f"tls {certificate / 'cert.pem'} {certificate / 'key.pem'}\n"
    block = block.replace("scans.example {", f"https://localhost:{port} {{\n{tls}")
    (folder / "Caddyfile").write_text(CADDY.format(folder=folder, block=block))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def proxied(
    request: pytest.FixtureRequest, tmp_path: Path, served: RunningServer, certificate: Path
) -> Iterator[str]:
    """The address of the app behind a real proxy."""
    name = request.param.__name__
    if not shutil.which(name):
        pytest.skip(f"there is no {name} here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    app_port = served.address.rsplit(":", 1)[1].split("/")[0]
    command = request.param(tmp_path, example(name).replace("7860", app_port), port, certificate)
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"HOME": str(tmp_path)})
    try:
        wait_for(port, process, tmp_path)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError((folder / "log").read_text())


@pytest.mark.thorough
def test_a_person_signs_in_uploads_and_keeps_a_live_connection_through_the_proxy(
    proxied: str, certificate: Path
):
    trusted = ssl.create_default_context(cafile=str(certificate / "ca.pem"))
    origin = f"https://{proxied}"
    with httpx.Client(base_url=origin, verify=trusted, headers={"origin": origin}, trust_env=False) as http:
        assert http.get("/label").headers["location"].rstrip("/").endswith("/label")
        assert http.get("/label/healthz").text == "ok\n"
        form = {"name": "ann", "password": PASSWORD}
        assert http.post("/label/login", data=form).headers["location"] == "/label/"
        assert "slicewiseRoot" in http.get("/label/").text
        batch = http.post("/label/api/upload/begin", json={}).json()["batch"]
        sent = http.put(
            f"/label/api/upload/{batch}/0", params={"name": "a.png"}, content=b"x" * LARGE, timeout=60
        )
        assert sent.status_code < 300, sent.text
        cookies = "; ".join(f"{one.name}={one.value}" for one in http.cookies.jar)
        assert cookies.startswith("__Host-")
    with connect(
        f"wss://{proxied}/label/api/live",
        ssl=trusted,
        origin=Origin(origin),
        additional_headers={"cookie": cookies},
        open_timeout=60,
    ) as tab:
        tab.send(pack({"t": "ping", "n": 7}))
        frames = (unpack(bytes(tab.recv(timeout=20)))[0] for _ in range(9))  # type: ignore[arg-type]
        assert next(message for message in frames if message["t"] == "pong")["n"] == 7
