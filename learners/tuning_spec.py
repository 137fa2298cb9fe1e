"""Values that cross to a worker for a tuning round, and back; no torch here."""

from dataclasses import dataclass
from pathlib import Path

ADAPTER = "adapter.safetensors"  # what a round that was kept leaves in its directory


@dataclass(frozen=True)
class TuneSlice:
    """One slice with finished objects; paths, never open arrays."""

    picture: Path  # (H, W, 3) uint8 as on screen
    objects: Path  # (H, W) uint16, one number an object, 0 for everything else
    held: bool  # judged on, never trained on


@dataclass(frozen=True)
class TuneSpec:
    """Everything a tuning round needs. `directory` is its own; nobody else writes there but the stop file."""

    directory: Path
    slices: tuple[TuneSlice, ...]
    steps: int = 300
    judged: int = 24  # held-out objects that are clicked on at most
    seed: int = 0
    weights: Path | None = None  # None: the shipped file
    current: Path | None = None  # the adapter in use, which a new one has to beat as well
    people_wait: Path | None = None  # the mark of people who wait for masks


@dataclass(frozen=True)
class Skill:
    """What simulated people need on held-out objects."""

    clicks: float  # until an IoU of 0.85
    overlap: float  # mean IoU over a box and the first clicks


@dataclass(frozen=True)
class TuneResult:
    finished: bool  # False: it was stopped; the same spec goes on from there
    kept: bool = False
    before: Skill | None = None  # the better one of the untuned model and the adapter in use
    after: Skill | None = None
    steps: int = 0
