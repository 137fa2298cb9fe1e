"""A folder outside the project for whoever may not write in it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

LEAST = 32 << 20  # bytes free: a small export, a copy of a small database


class NoScratch(OSError):
    """Nowhere on this computer is room for files that are soon gone."""

    def __init__(self, needed: int) -> None:
        super().__init__(
            f"no folder for temporary files has {max(1, needed >> 20)} MB left; free some space there, or set "
            "TMPDIR to a folder on another disk"
        )


def scratch_folder(needed: int = LEAST) -> TemporaryDirectory[str]:
    """A new folder on a disk with so many bytes left; cleanup() it. Raises NoScratch."""
    for place in _places():
        with contextlib.suppress(OSError):
            if shutil.disk_usage(place).free >= needed:
                return TemporaryDirectory(prefix="slicewise-", dir=place, ignore_cleanup_errors=True)
    raise NoScratch(needed)


def _places() -> Iterator[Path]:
    """Where the system puts such files; memory is there although every disk is full."""
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())
    yield from (Path(place) for place in ("/dev/shm", "/var/tmp") if os.path.isdir(place))
