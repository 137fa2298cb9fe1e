"""A process of its own that fills volumes, kept warm: the server's clicks and commits never wait for a fill."""

import contextlib
import multiprocessing
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from learners.propagate import (
    FilledVolume,
    LabelledSlice,
    PropagationCancelled,
    PropagationInput,
    RunControl,
    fill,
)
from learners.propagate.fused import Prior, fuse
from learners.propagate.labels_alone import labels_suffice
from models import PromptChoice
from storage.arrays import TornFile, open_npy, write_npy

KEPT = 4  # volumes whose last solution is remembered
IDLE_SECONDS = 600.0  # after which a process gives its memory back
CLOSE_SECONDS = 5.0
TELL_SECONDS = 0.3
NICE = 10
ReportShare = Callable[[float], None]


@dataclass(frozen=True)
class PriorFiles:
    """A producer's proposal, to be corrected by the labels: .npy files to read and to write."""

    classes: Path
    confidence: Path
    trust: float  # as in `Prior`
    classes_to: Path
    confidence_to: Path


@dataclass(frozen=True)
class FillSpec:
    """What to fill. Picklable and small: paths, no arrays. With proposals the last of them, corrected, is the fill."""

    image_id: int
    propagator: str
    pixels: Path  # .npy (Z, Y, X[, 3])
    known: Path  # .npy (Z, Y, X) of uint8
    slices: tuple[LabelledSlice, ...]
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float]  # of brightness, as the volume is shown
    seconds: float  # after which the best so far is taken
    classes_to: Path  # .npy files to write
    confidence_to: Path
    prompts: PromptChoice = PromptChoice()  # as in `RunControl`
    priors: tuple[PriorFiles, ...] = ()
    fills: bool = True  # False: only the proposals are to be corrected
    alone: bool = False  # the fill before came from labels alone


@dataclass(frozen=True)
class FillDone:
    seconds: float
    finished: bool
    prior: PriorFiles | None = None  # the proposal that it started from


class FillFailed(RuntimeError):
    """One sentence about why a volume could not be filled."""


class Filler:
    """Fills in the calling thread and remembers the last solutions. One caller at a time."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[int, str], FilledVolume] = OrderedDict()

    def fill(self, spec: FillSpec, cancelled: Callable[[], bool], progress: ReportShare) -> FillDone:
        """Files are on disk when it returns. Raises Cancelled, ValueError, OSError."""
        started, key = time.monotonic(), (spec.image_id, spec.propagator)
        known = np.array(open_npy(spec.known))
        case = PropagationInput(
            open_npy(spec.pixels), known, spec.slices, spec.spacing_mm, window=spec.window
        )
        run = RunControl(
            time.monotonic() + spec.seconds, cancelled, progress, self._last.get(key), spec.prompts
        )
        filled, prior = _corrected(spec, case, run)
        if not spec.fills:
            return FillDone(time.monotonic() - started, filled is None or filled.finished, prior)
        if filled is None:
            filled = fill(spec.propagator, case, run)
            self._remember(key, filled)
        write_npy(spec.classes_to, filled.classes)
        write_npy(spec.confidence_to, filled.confidence)
        return FillDone(time.monotonic() - started, filled.finished, prior)

    def close(self) -> None:
        self._last.clear()

    def _remember(self, key: tuple[int, str], filled: FilledVolume) -> None:
        nothing = np.zeros((0, 0, 0), np.uint8)
        self._last[key] = FilledVolume(nothing, nothing, filled.seconds, filled.finished, filled.state)
        self._last.move_to_end(key)
        while len(self._last) > KEPT:
            self._last.popitem(last=False)


def _corrected(
    spec: FillSpec, case: PropagationInput, run: RunControl
) -> tuple[FilledVolume | None, PriorFiles | None]:
    """Correct every proposal that is still there; the last one, and where it came from. None where the labels alone
    have come to say more."""
    filled: FilledVolume | None = None
    start: Prior | None = None
    last: PriorFiles | None = None
    for files in spec.priors:
        try:
            prior = Prior(open_npy(files.classes), open_npy(files.confidence), files.trust)
            filled = fuse(case, prior, run)
        except (FileNotFoundError, TornFile):  # its producer has just made a newer one
            continue
        start, last = prior, files
        write_npy(files.classes_to, filled.classes)
        write_npy(files.confidence_to, filled.confidence)
    if spec.fills and start is not None:
        alone = partial(fill, spec.propagator)
        if labels_suffice(case, start, alone, run, before=spec.alone):
            return None, None
    return filled, last


class ProcessFiller:
    """As `Filler`, in a process that starts with the first fill and again after it died. One caller at a time."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None
        self._stop = self._context.Event()

    def fill(self, spec: FillSpec, cancelled: Callable[[], bool], progress: ReportShare) -> FillDone:
        """Raises Cancelled, FillFailed."""
        self._stop.clear()
        try:
            pipe = self._started()
            pipe.send(spec)
            return self._heard(pipe, cancelled, progress)
        except (EOFError, OSError) as error:
            self.close()
            raise FillFailed("the fill stopped unexpectedly; label once more to start it again") from error

    def close(self) -> None:
        """End the process; the next fill starts another."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        self._stop.set()
        if pipe is not None:
            pipe.close()  # the process ends when nobody is at the other end
        if process is not None:
            process.join(CLOSE_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join()

    def _started(self) -> Connection:
        if self._pipe is not None and self._process.is_alive():
            return self._pipe
        self.close()
        self._stop.clear()
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(theirs, self._stop), name="fills", daemon=True
        )
        self._process.start()
        theirs.close()
        return self._pipe

    def _heard(self, pipe: Connection, cancelled: Callable[[], bool], progress: ReportShare) -> FillDone:
        while True:
            if cancelled():
                self._stop.set()
            if not pipe.poll(0.05):
                continue
            kind, value = pipe.recv()
            if kind == "progress":
                progress(value)
            elif kind == "done":
                return value
            elif kind == "cancelled":
                raise PropagationCancelled
            else:
                raise FillFailed(value)


def _serve(pipe: Connection, stop: Any) -> None:
    """The process: one spec after another until nobody is there or nothing came for a while."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    filler = Filler()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while pipe.poll(IDLE_SECONDS):
            pipe.send(_answer(filler, pipe.recv(), pipe, stop))


def _answer(filler: Filler, spec: FillSpec, pipe: Connection, stop: Any) -> tuple[str, Any]:
    told_at = 0.0

    def progress(share: float) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TELL_SECONDS:
            told_at = time.monotonic()
            pipe.send(("progress", share))

    try:
        return "done", filler.fill(spec, stop.is_set, progress)
    except PropagationCancelled:
        return "cancelled", None
    except (ValueError, LookupError, OSError) as error:
        return "failed", str(error)
    except Exception as error:  # a defect of ours: said, and the next fill has its chance
        return (
            "failed",
            f"the fill failed ({type(error).__name__}: {error}); label one more slice or report it",
        )
