"""A real server with a certificate of its own speaks TLS 1.2 and 1.3 and nothing older."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import trustme
from PIL import Image

from annotator.access.accounts import Accounts
from tests.support.chromium import RunningServer, start_server

OLD_SSL = """openssl_conf = default
[default]
ssl_conf = ssl
[ssl]
system_default = old
[old]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""  # of a system that still lets everybody in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Path:
    """A folder with cert.pem, key.pem and ca.pem."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for at, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=at > 0)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[RunningServer]:
    Accounts(files / "p" / "private").add_user("ann", "correct horse battery")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(files / "a.png")
    (files / "openssl.cnf").write_text(OLD_SSL)
    with pytest.MonkeyPatch.context() as environment:
        environment.setitem(os.environ, "OPENSSL_CONF", str(files / "openssl.cnf"))
        running = start_server(
            files, "a.png", "--project", "p", "--no-fill", "--no-download",
            "--certificate", str(files / "cert.pem"), "--certificate-key", str(files / "key.pem"),
        )  # fmt: skip
    yield running
    running.stop()


def speaks(port: int, files: Path, version: ssl.TLSVersion) -> str | None:
    """What a client that knows this version alone and takes any cipher agrees on with a server."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files / "ca.pem")
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning) if version < ssl.TLSVersion.TLSv1_2 else nullcontext():
        client.minimum_version = client.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with client.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                return secured.version()
        except (ssl.SSLError, ConnectionError):
            return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_today_s_tls_is_spoken(server: RunningServer, files: Path, version: ssl.TLSVersion):
    assert server.address.startswith("https://")
    assert speaks(server.port, files, version) == version.name.replace("_", ".")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_refused_also_where_the_system_would_allow_it(
    server: RunningServer, files: Path, version: ssl.TLSVersion
):
    assert speaks(server.port, files, version) is None


def test_the_client_of_this_test_does_speak_old_tls(files: Path):
    """Else the test above would pass by itself."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(files / "cert.pem", files / "key.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: old.wrap_socket(listener.accept()[0], server_side=True)).start()
        assert speaks(listener.getsockname()[1], files, ssl.TLSVersion.TLSv1_1) == "TLSv1.1"
