"""The rows of a project as values."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch, SliceRef
from storage.channels.named import are_colours
from storage.channels.rows import ChannelRow, rows_of
from storage.events.relabels import Pairs

SOURCES = ("drawn", "prompted", "accepted", "refined", "imported")
MASKS = "kind in ('patch', 'complete')"  # SQL: events that say something about voxels; tags do not


@dataclass(frozen=True)
class ImageRow:
    """One image or volume; its pixels are in `path`, and what it has of channels is in the files of `named`."""

    id: int
    name: str
    shape: tuple[int, int, int]  # (Z, Y, X)
    channels: int
    dtype: str
    spacing_mm: tuple[float, float, float] | None  # (z, y, x)
    marks: tuple[tuple[str, str], ...] | None  # per axis: letters at its low and its high end
    geometry: dict[str, Any]
    window: tuple[float, float]
    value_range: tuple[float, float]
    presets: tuple[tuple[str, float, float], ...]
    modality: str | None
    source: str
    created_at: str
    path: Path
    pixels: str = ""  # what its pixels are known by; "" where an older version did not note it
    named: tuple[ChannelRow, ...] = ()

    @property
    def is_volume(self) -> bool:
        return self.shape[0] > 1

    @property
    def measured(self) -> tuple[ChannelRow, ...]:
        """Channels that models see each for itself."""
        return () if are_colours([channel.name for channel in self.named]) else self.named


def image_of(root: Path, row: dict[str, Any]) -> ImageRow:
    """What a project notes of an image, with its channels as NAMED answers them."""
    facts = json.loads(row["facts"])
    return ImageRow(
        id=row["id"],
        name=row["name"],
        shape=(row["z"], row["y"], row["x"]),
        channels=row["channels"],
        dtype=row["dtype"],
        spacing_mm=tuple(facts["spacing_mm"]) if facts["spacing_mm"] else None,
        marks=tuple((low, high) for low, high in facts["marks"]) if facts["marks"] else None,
        geometry=facts["geometry"],
        window=tuple(facts["window"]),
        value_range=tuple(facts["value_range"]),
        presets=tuple((name, low, high) for name, low, high in facts["presets"]),
        modality=row["modality"],
        source=row["source"],
        created_at=row["created_at"],
        path=root / "images" / f"{row['uid']}.npy",
        pixels=row["pixels"] or "",
        named=rows_of(row["named"], root / "channels"),
    )


CODE = re.compile(r"(\S{1,16})\s+(\S{1,16})(?:\s+(\S.{0,63}))?")  # as long as DICOM lets each be
HOW_CODED = "write a code as SCHEME VALUE MEANING, as in: SCT 10200004 Liver"


@dataclass(frozen=True)
class ClassCode:
    """What a class is in a coding scheme such as SNOMED CT (SCT) or RadLex (RADLEX)."""

    scheme: str
    value: str
    meaning: str  # in words

    @classmethod
    def parse(cls, text: str, name: str) -> "ClassCode | None":
        """None of an empty text; without a meaning it is the class's name. Raises ValueError."""
        if not text.strip():
            return None
        found = CODE.fullmatch(" ".join(text.split()))
        if found is None or not text.isprintable():
            raise ValueError(f"{HOW_CODED}; scheme and value have at most 16 characters")
        return cls(found[1], found[2], (found[3] or name)[:64])

    @classmethod
    def told(cls, scheme: str, value: str, meaning: str) -> str:
        """As text, of what a file of others says; empty where that is no code."""
        text = " ".join(f"{scheme} {value} {meaning[:64]}".split())
        whole = all(len(part.split()) == 1 for part in (scheme, value)) and text.isprintable()
        return text if whole and CODE.fullmatch(text) else ""

    def __str__(self) -> str:
        return f"{self.scheme} {self.value} {self.meaning}"


@dataclass(frozen=True)
class ClassRow:
    id: int
    name: str
    color: str  # "#rrggbb"
    since: int = 0  # events up to here meant another class of this number
    made: int = 0  # grows with every class that gets a number
    code: ClassCode | None = None
    objects: bool = False  # each of its objects gets a number; else it is an area


@dataclass(frozen=True)
class LabelRow:
    """One live label event."""

    id: int
    client_id: str
    image_id: int
    axis: int
    index: int
    kind: str  # "patch" or "complete"
    box: Box | None  # None for "complete"
    source: str
    author: str
    seconds: float
    prompts: dict[str, Any]
    instance: int  # the highest object number in it, 0 for none
    created_at: str
    path: Path | None
    classes: tuple[int, ...] = ()  # the class values it says, after what was relabelled since
    relabelled: Pairs = ()  # what its file does not know yet

    @property
    def ref(self) -> SliceRef:
        return SliceRef(self.image_id, self.axis, self.index)


@dataclass(frozen=True)
class NewLabel:
    """A label event before it has an id. `client_id` makes it safe to send twice."""

    ref: SliceRef
    patch: Patch | None  # None: "everything else on this slice is background"
    client_id: str
    author: str
    source: str = "drawn"
    seconds: float = 0.0
    prompts: dict[str, Any] = field(default_factory=dict)
    instance: int = 0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"a label's source is one of {', '.join(SOURCES)}, got {self.source!r}")
        if not (0 <= self.seconds < 86400):
            raise ValueError(f"the seconds spent lie between 0 and a day, got {self.seconds}")
        if not self.client_id or len(self.client_id) > 64:
            raise ValueError("a label needs a client id of 1 to 64 characters")

    @property
    def kind(self) -> str:
        return "complete" if self.patch is None else "patch"

    @property
    def classes(self) -> list[int]:
        """The class values this event says, background among them; an erasure says none."""
        values = np.unique(self.patch.classes).tolist() if self.patch is not None else [BACKGROUND]
        return [value for value in values if value not in (ERASED, UNLABELLED)]

    @property
    def highest_instance(self) -> int:
        """The highest object number in this event, 0 for none."""
        numbers = self.patch.instances if self.patch is not None else None
        return self.instance if numbers is None else max(self.instance, int(numbers.max()))


@dataclass(frozen=True)
class Event:
    """A label event as undo and redo see it."""

    client_id: str
    ref: SliceRef
    act: str  # one of SOURCES, "complete" or "cleared"
    name: str  # of the image
