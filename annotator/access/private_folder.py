"""Where the secrets of a project are: its own folder, or a copy for a project that is only looked at."""

import contextlib
import json
import shutil
from pathlib import Path

from annotator.access.accounts import make_private_directory, write_private
from storage.store import Store

NAME, LINKS = "private", "links"


def private_folder(store: Store) -> Path:
    """People sign in to a look as to the project; one-time links wait until it can be written. Whoever runs the app
    and may not read the secrets finds none."""
    own, folder = store.root / NAME, store.workplace / NAME
    if store.looking:
        make_private_directory(folder)
        with contextlib.suppress(PermissionError, FileNotFoundError, shutil.Error):
            shutil.copytree(own, folder, dirs_exist_ok=True)
        _close_links(folder / LINKS)
    return folder


def _close_links(folder: Path) -> None:
    """A link signs in once, and its copy would do it a second time; that there are links still counts."""
    for path in folder.glob("*.json"):
        link = json.loads(path.read_bytes())
        write_private(path, json.dumps(link | {"expires": 0.0}).encode())
