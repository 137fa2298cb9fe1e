"""How the server is reached: a frozen value made from the command line."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from annotator.dialects import check_served

GIGABYTE = 1 << 30
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]*[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class ServerSettings:
    """Where to listen, under which names, and how much to accept."""

    host: str = "127.0.0.1"
    port: int = 7860  # 0: any free one
    names: tuple[str, ...] = ()  # further host names that people use, such as that of a reverse proxy
    root_path: str = ""  # where a reverse proxy puts us, such as "/label"
    require_sign_in: bool = False  # also on this computer alone
    https: bool = False  # a proxy in front of us speaks https
    certificate: Path | None = None  # PEM files: we speak https ourselves
    certificate_key: Path | None = None
    open_browser: bool = False
    fill: bool = True  # fill volumes from a few labelled slices
    learn: bool = True  # train in the background on what is labelled
    engine: str = "process"  # where rounds run, a key of learners.engines.ENGINES
    ray_address: str | None = None  # of a Ray cluster; None: this computer
    snapshots: bool = True  # of the project, every night
    serve: tuple[str, ...] = ()  # other tools' dialects, keys of annotator.dialects.DIALECTS
    look: bool = False  # somebody asked only to look: nothing is opened anew when it can be written
    download: bool = False  # fetch a SAM checkpoint by itself at the first start
    max_file_bytes: int = 8 * GIGABYTE  # one uploaded file
    max_batch_bytes: int = 64 * GIGABYTE  # all files of one upload

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"a port is a number from 0 to 65535, got {self.port}")
        for name in self.names:
            if not _NAME.fullmatch(name.lower()):
                raise ValueError(f"{name!r} is not a host name; give it without http:// and without a port")
        if self.root_path and not _ROOT_PATH.fullmatch(self.root_path):
            raise ValueError(
                f"{self.root_path!r} is no path prefix; give it as /label, from the first slash, without the host"
            )
        check_served(self.serve)
        if self.serve and not self.fill:
            raise ValueError(
                "other tools are served what the app proposes; start it without --no-fill, or without --serve"
            )
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("https needs both a certificate and its key")

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def secure(self) -> bool:
        return self.https or self.certificate is not None

    @property
    def private_to_this_computer(self) -> bool:
        """Nobody but people at this computer is meant to get in, so they need not sign in."""
        return self.on_loopback and not self.names and not self.require_sign_in


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this computer and nothing else."""
    if host.lower() in ("localhost", "localhost.localdomain"):
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host name spells out, None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
