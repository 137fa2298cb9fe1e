"""A small disk that is full, without any right: a file system in memory, in a namespace of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o size=24m none "$0" && cp -r "$1" "$0/p" && head -c 99m /dev/zero > "$0/filler" 2>/dev/null; '
LOCKED = 'mount --bind "$1" "$0" && mount -o remount,ro,bind "$0" && '


def on_full_disk(disk: Path, project: Path) -> tuple[str, ...]:
    """Put before a command: it finds a copy of the project at `disk/p`, and no room beside it but for `filler`."""
    return _inside(disk, project, MOUNT)


def on_locked_disk(disk: Path, project: Path) -> tuple[str, ...]:
    """Put before a command: it finds the project at `disk`, and nobody may write there, root neither."""
    return _inside(disk, project, LOCKED)


def _inside(disk: Path, project: Path, mount: str) -> tuple[str, ...]:
    disk.mkdir(exist_ok=True)
    command = ("unshare", "-rm", "sh", "-c", f'{mount}shift; exec "$@"', str(disk), str(project))
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system of his own")
    return command


def seen_by(pid: int, path: Path) -> Path:
    """A file as the process sees it, on the disk that only it has."""
    return Path(f"/proc/{pid}/root") / path.relative_to("/")
