"""What a propagator is given and what it gives back. Axes are (Z, Y, X), spacing in mm."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models import PromptChoice
from storage.arrays import BACKGROUND, MAX_CLASS, UNLABELLED, plane

Bounds3 = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # half-open, per axis


class PropagationCancelled(Exception):
    """The caller asked the propagation to stop."""


@dataclass(frozen=True, order=True)
class LabelledSlice:
    """A slice that a person worked on. `complete`: what is not drawn there is background."""

    axis: int
    index: int
    complete: bool = False
    classes: tuple[int, ...] | None = None  # those drawn on this very slice; None: all that are known there


@dataclass(frozen=True)
class PropagationInput:
    """One volume with what is known about it."""

    image: NDArray  # (Z, Y, X) or colour (Z, Y, X, 3); methods get it grey
    known: NDArray[np.uint8]  # (Z, Y, X) class, UNLABELLED where nothing is known
    slices: tuple[LabelledSlice, ...]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[int, int, int] = (0, 0, 0)  # of its first voxel in the volume that it was cut from
    window: tuple[float, float] | None = (
        None  # the brightness that matters; a CT's air and bone would drown organs
    )
    named: tuple[int, ...] = ()  # classes it has although a coarser grid may have no voxel left for them

    def __post_init__(self) -> None:
        if self.known.dtype != np.uint8 or self.known.ndim != 3 or self.image.shape[:3] != self.known.shape:
            raise ValueError(
                f"the labels must be uint8 (Z, Y, X) like the image {self.image.shape}, "
                f"got {self.known.dtype} {self.known.shape}"
            )
        if not all(math.isfinite(mm) and mm > 0 for mm in self.spacing_mm):
            raise ValueError(f"the spacing must be three positive numbers in mm, got {self.spacing_mm}")
        outside = [s for s in self.slices if not 0 <= s.index < self.known.shape[s.axis]]
        if outside:
            raise ValueError(f"slice {outside[0]} lies outside the volume {self.known.shape}")

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = self.known.shape
        return z, y, x

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The foreground classes that somebody drew, ascending."""
        counts = np.bincount(self.known.ravel(), minlength=256)
        found = {int(v) for v in np.flatnonzero(counts[: MAX_CLASS + 1])} | set(self.named)
        return tuple(sorted(found - {BACKGROUND}))

    @cached_property
    def drawn(self) -> dict[LabelledSlice, tuple[int, ...]]:
        """Per labelled slice the foreground classes known on it."""
        return {s: self._classes_on(s) for s in self.slices}

    def _classes_on(self, s: LabelledSlice) -> tuple[int, ...]:
        values = np.unique(plane(self.known, s.axis, s.index))
        found = (int(v) for v in values if v not in (BACKGROUND, UNLABELLED))
        return tuple(v for v in found if s.classes is None or v in s.classes)

    def speaking(self, axis: int, value: int) -> list[int]:
        """Indices along an axis of the slices that say where class `value` is, or that it is not there."""
        found = {s.index for s in self.slices if s.axis == axis and (s.complete or value in self.drawn[s])}
        return sorted(found)


@dataclass(frozen=True)
class PropagationResult:
    """What a method thinks of every voxel of the case that it was given."""

    classes: NDArray[np.uint8]  # (Z, Y, X), no UNLABELLED
    probability: NDArray[np.float32]  # (Z, Y, X) that the class is right, 0..1
    finished: bool = True
    state: Mapping[str, NDArray] = field(
        default_factory=dict
    )  # what makes the next run of this method quicker


@dataclass(frozen=True)
class FilledVolume:
    """A whole volume. Known voxels are as they were given, with confidence 255."""

    classes: NDArray[np.uint8]  # (Z, Y, X)
    confidence: NDArray[np.uint8]  # (Z, Y, X) probability that the class is right, 255 = 1
    seconds: float
    finished: bool  # False: the best that there was at the deadline
    state: Mapping[str, NDArray] = field(default_factory=dict)


@dataclass(frozen=True)
class RunControl:
    """How long it may take, who may stop it, and what was found last time."""

    deadline: float = math.inf  # of time.monotonic()
    cancelled: Callable[[], bool] = lambda: False
    progress: Callable[[float], None] = lambda share: None  # 0..1
    previous: FilledVolume | None = None
    prompts: PromptChoice = PromptChoice()  # the project's prompt model, for propagators that ask one

    @classmethod
    def of(cls, seconds: float, **more: object) -> "RunControl":
        return cls(deadline=time.monotonic() + seconds, **more)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raises Cancelled where somebody asked to stop."""
        if self.cancelled():
            raise PropagationCancelled

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() > self.deadline


Method = Callable[[PropagationInput, RunControl], PropagationResult]


def grey(pixels: NDArray, window: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """(Z, Y, X[, 3]) -> (Z, Y, X) brightness as float32, without NaN, grey values clipped to the window."""
    values = pixels.astype(np.float32)
    if values.ndim == 4:
        values = values @ np.array([0.299, 0.587, 0.114], np.float32)
    elif window is not None:
        values = values.clip(*window)
    return np.nan_to_num(values, copy=False, posinf=0, neginf=0)


def as_bytes(image: NDArray) -> NDArray[np.uint8]:
    """Brightness with the bulk of it spread over 0..255."""
    low, high = np.percentile(image.ravel()[:: max(1, image.size // 200_000)], (0.5, 99.5))
    scaled = (image.astype(np.float32) - float(low)) * (255 / max(float(high - low), 1e-6))
    return scaled.clip(0, 255).astype(np.uint8)
