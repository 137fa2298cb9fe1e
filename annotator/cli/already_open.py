"""`open` for a project that another process has open: say where, and show that page."""

import socket
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from storage.lock import Owner, ProjectBusy

ANSWER_SECONDS = 2.0


def show_open_project(busy: "ProjectBusy", data: Path | None, *, browser: bool) -> int:
    """Raises RuntimeError where this computer has no page of it to show."""
    owner = busy.owner
    if owner is None:
        raise busy
    if reason := _out_of_reach(owner):
        raise RuntimeError(f"{busy.root} is open in {owner}; {reason}") from busy
    print(f"{busy.root} is open already at {owner.address}")
    if data is not None:
        print(
            f"Nothing was imported, because process {owner.pid} has the project open. Import {data} on the Data tab "
            "of that page, or stop that process and run this again."
        )
    if browser:
        webbrowser.open(owner.address)
    return 0


def _out_of_reach(owner: "Owner") -> str:
    """Why its page cannot be shown, and what to do; empty where it can."""
    if not owner.on_this_computer:
        return f"open its page on the computer {owner.host}, or stop it there first"
    if not owner.address:
        return "if it is the app, open the address that it printed; else wait for it or stop it with Ctrl+C"
    if not _answers(owner.address):
        return "its page does not answer, so try again in a moment or stop that process"
    return ""


def _answers(address: str) -> bool:
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False
        with socket.create_connection((parts.hostname, parts.port or 0), ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False
