"""Names of channels in the description of a data set: the `dataset.json` of nnU-Net and of the Medical Decathlon."""

import json
from pathlib import Path
from typing import Any

DESCRIPTION = "dataset.json"
LONGEST = 1 << 24  # bytes


def described_channels(path: Path, count: int) -> tuple[str, ...]:
    """The names of so many channels for an image file, from the description beside its folder or in it; empty where
    none names just as many."""
    for folder in (path.parent, path.parent.parent):
        names = _names_in(folder / DESCRIPTION)
        if len(names) == count:
            return names
    return ()


def _names_in(path: Path) -> tuple[str, ...]:
    try:
        if not path.is_file() or path.stat().st_size > LONGEST:
            return ()
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    named: Any = said.get("channel_names") or said.get("modality") if isinstance(said, dict) else None
    if not isinstance(named, dict) or set(named) != {str(n) for n in range(len(named))}:
        return ()
    return tuple(str(named[str(n)]) for n in range(len(named)))
