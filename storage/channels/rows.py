"""What a project notes of an image's channels: their rows, and what they add to its digest."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.channels.named import ChannelLook

# SQL: an image's channels as one value beside its own columns
NAMED = """(select json_group_array(json_object('uid', uid, 'number', number, 'name', name, 'dtype', dtype,
    'facts', json(facts))) from channels where image_id = images.id) as named"""


@dataclass(frozen=True)
class ChannelRow:
    """A channel of an image of the project; its values are in `path`."""

    name: str
    dtype: str
    look: ChannelLook
    value_range: tuple[float, float]
    digest: str
    path: Path


def told(named: Iterable[tuple[str, str]]) -> bytes:
    """What channels add to the digest of an image: (name, digest) of each; nothing where there are none."""
    return "".join(f"\0{name}\0{digest}" for name, digest in named).encode()


def rows_of(named: str, folder: Path) -> tuple[ChannelRow, ...]:
    """What NAMED answers. `folder`: of the files."""
    rows = sorted(json.loads(named), key=lambda row: int(row["number"]))
    return tuple(_row(row, row["facts"], folder / f"{row['uid']}.npy") for row in rows)


def _row(row: dict[str, Any], facts: dict[str, Any], path: Path) -> ChannelRow:
    low, high = facts["window"]
    look = ChannelLook(facts["color"], (low, high), facts["gamma"], facts["shown"])
    least, most = facts["value_range"]
    return ChannelRow(row["name"], row["dtype"], look, (least, most), facts["digest"], path)
