"""The rows of a project as values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from storage.arrays import BACKGROUND, ERASED, UNLABELLED, Box, Patch, SliceRef
from storage.events.relabels import Pairs

SOURCES = ("drawn", "prompted", "accepted", "refined", "imported")
MASKS = "kind in ('patch', 'complete')"  # SQL: events that say something about voxels; tags do not


@dataclass(frozen=True)
class ImageRow:
    """One image or volume; its pixels are in `path`."""

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

    @property
    def is_volume(self) -> bool:
        return self.shape[0] > 1


@dataclass(frozen=True)
class ClassRow:
    id: int
    name: str
    color: str  # "#rrggbb"
    since: int = 0  # events up to here meant another class of this number
    made: int = 0  # grows with every class that gets a number


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
