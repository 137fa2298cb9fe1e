"""What the app keeps in a project's folder: an import passes it over, it is nobody's image."""

import re
from pathlib import Path

DATABASE = "project.db"
NOTE = "owner.json"  # who has the project open
PROJECT = (
    "it is a project of this app; what the app keeps in it was passed over, so name the folder of the scans"
)
ARRAYS = {"images", "channels", "labels", "predictions"}  # people may have folders of these names
DERIVED = {"rounds", "tuned", "private", "embeddings", "uploads"}
ARRAY = re.compile(r"[0-9a-f]{32}\.")


def is_project(folder: Path) -> bool:
    return all((folder / part).exists() for part in (DATABASE, "images", "labels"))


def is_own(path: Path) -> bool:
    """Of a file or folder whose folder is a project, or lies in one."""
    if is_project(path.parent):
        return path.name.startswith((DATABASE, NOTE)) or path.name in DERIVED
    return bool(ARRAY.match(path.name)) and path.parent.name in ARRAYS and is_project(path.parent.parent)
