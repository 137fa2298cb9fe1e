"""A process of its own that fills volumes, kept warm: the server's clicks and commits never wait for a fill."""

import contextlib
import hashlib
import multiprocessing
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from learners.engines.worker_process import lower_priority
from learners.objects.number_files import NumberFiles, write_numbers
from learners.propagate import (
    FilledVolume,
    LabelledSlice,
    PropagationCancelled,
    PropagationInput,
    RunControl,
    fill,
)
from learners.propagate.contract import as_bytes, grey
from learners.propagate.fused import TRUST, Prior, fuse
from learners.propagate.labels_alone import labels_suffice
from learners.propagate.prompted import still_open
from learners.propagate.redrawn import redraw
from learners.propagate.renewed import FillShown, Trial, next_fill
from models import PromptChoice
from models.automatic_masks import automatic_masks
from storage.arrays import UNLABELLED, TornFile, open_npy, write_npy, write_npys

KEPT = 4  # volumes whose last solution is remembered
REMEMBERED = 64 << 20  # bytes of earlier fills: what is taken back brings back the fill that was there
IDLE_SECONDS = 600.0  # after which a process gives its memory back
CLOSE_SECONDS = 5.0
TELL_SECONDS = 0.3
ReportShare = Callable[[float], None]


@dataclass(frozen=True)
class PriorFiles:
    """A producer's proposal, to be corrected by the labels: .npy files to read and to write."""

    classes: Path
    confidence: Path
    trust: float  # as in `Prior`
    classes_to: Path
    confidence_to: Path
    unseen: tuple[LabelledSlice, ...] = ()  # that its producer has not learned from: they may judge it
    objects: Path | None = None  # .npy of numbers, where its producer tells objects apart


@dataclass(frozen=True)
class FillBefore:
    """The fill on screen, which every label of today's but the newest has made."""

    classes: Path  # .npy
    confidence: Path
    newer: tuple[LabelledSlice, ...]  # labelled since; none where only parts of the fill were mended


@dataclass(frozen=True)
class FillSpec:
    """What to fill. Picklable and small: paths, no arrays. With proposals the last of them, corrected, is the fill.

    A check (`decides`) is of its own, since it takes as long as several fills: nobody waits for it.
    """

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
    decides: bool = (
        False  # ask whether labels alone have come to say more; nothing is written where it stays so
    )
    before: FillBefore | None = None  # what labels alone are laid over
    redraws: PriorFiles | None = None  # a proposal whose outlines are drawn anew; nothing else is done then
    finds: int | None = None  # the class of the objects to be found in a picture; nothing else is done then
    numbers_to: Path | None = None  # .npy file to write of the numbers of what was found
    numbers: NumberFiles | None = None  # of objects that the fill is to tell apart
    kept: bool = True  # False: whoever asked reads the files once and removes them


@dataclass(frozen=True)
class FillDone:
    seconds: float
    finished: bool
    prior: PriorFiles | None = None  # the proposal that it started from
    unchanged: bool = False  # what was to be decided stays as it is


class FillFailed(RuntimeError):
    """One sentence about why a volume could not be filled."""


class Filler:
    """Fills in the calling thread and remembers the last solutions. One caller at a time."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[int, str], FilledVolume] = OrderedDict()
        self._made: OrderedDict[tuple[int, str, bytes], FilledVolume] = OrderedDict()  # by what was known
        self._trials: dict[tuple[int, str], Trial] = {}  # of the volumes in `_last`

    def fill(self, spec: FillSpec, cancelled: Callable[[], bool], progress: ReportShare) -> FillDone:
        """Files are on disk when it returns, if they are kept. Raises Cancelled, ValueError, OSError."""
        if spec.redraws is not None:
            return _redrawn(
                spec, spec.redraws, RunControl.of(spec.seconds, cancelled=cancelled, progress=progress)
            )
        if spec.finds is not None:
            return _found(
                spec, spec.finds, RunControl.of(spec.seconds, cancelled=cancelled, progress=progress)
            )
        started, key = time.monotonic(), (spec.image_id, spec.propagator)
        known = np.array(open_npy(spec.known))
        case = PropagationInput(
            open_npy(spec.pixels), known, spec.slices, spec.spacing_mm, window=spec.window
        )
        run = RunControl(
            time.monotonic() + spec.seconds, cancelled, progress, self._last.get(key), spec.prompts
        )
        alone = _alone(spec, case, run)
        if spec.decides and alone == spec.alone:
            return FillDone(time.monotonic() - started, True, unchanged=True)
        filled, prior = _corrected(spec, case, run)
        if not spec.fills:
            return FillDone(time.monotonic() - started, filled is None or filled.finished, prior)
        if filled is None or alone:
            filled, prior = self._by_labels(spec, case, run), None
        _write(spec, (spec.classes_to, spec.confidence_to), filled)
        if spec.numbers is not None:
            apart = None if prior is None else prior.objects
            write_numbers(spec.numbers, filled.classes, apart, run.check)
        return FillDone(time.monotonic() - started, filled.finished, prior)

    def _by_labels(self, spec: FillSpec, case: PropagationInput, run: RunControl) -> FilledVolume:
        """By the labels alone and the fill before them; the very same where the same labels were filled before."""
        key = spec.image_id, spec.propagator, hashlib.blake2b(case.known.tobytes()).digest()
        if key in self._made:
            return self._made[key]
        filled = self._over_the_last(spec, case, run)
        if filled.finished:
            self._made[key] = filled
        while sum(2 * each.classes.size for each in self._made.values()) > REMEMBERED:
            self._made.popitem(last=False)
        return filled

    def _over_the_last(self, spec: FillSpec, case: PropagationInput, run: RunControl) -> FilledVolume:
        key = spec.image_id, spec.propagator
        before = None if spec.before is None else _prior_at(spec.before.classes, spec.before.confidence)
        if before is None or spec.before is None:
            anew = self._anew(spec, case, run)
            self._trials[key] = Trial(anew.classes)
            return anew
        if not spec.before.newer:
            return fuse(case, before, run)
        anew = self._anew(spec, case, run)
        shown = FillShown(before, spec.before.newer, self._trials.get(key))
        filled, self._trials[key] = next_fill(case, shown, anew, run)
        return filled

    def _anew(self, spec: FillSpec, case: PropagationInput, run: RunControl) -> FilledVolume:
        filled = fill(spec.propagator, case, run)
        self._remember((spec.image_id, spec.propagator), filled)
        return filled

    def close(self) -> None:
        self._last.clear()
        self._made.clear()
        self._trials.clear()

    def _remember(self, key: tuple[int, str], filled: FilledVolume) -> None:
        nothing = np.zeros((0, 0, 0), np.uint8)
        self._last[key] = FilledVolume(nothing, nothing, filled.seconds, filled.finished, filled.state)
        self._last.move_to_end(key)
        while len(self._last) > KEPT:
            gone, _ = self._last.popitem(last=False)
            self._trials.pop(gone, None)


def _corrected(
    spec: FillSpec, case: PropagationInput, run: RunControl
) -> tuple[FilledVolume | None, PriorFiles | None]:
    """Correct every proposal that is still there; the last one, and where it came from. None without any."""
    filled: FilledVolume | None = None
    last: PriorFiles | None = None
    for files in spec.priors:
        prior = _prior_at(files.classes, files.confidence, files.trust)
        if prior is None:  # its producer has just made a newer one
            continue
        filled, last = fuse(case, prior, run), files
        _write(spec, (files.classes_to, files.confidence_to), filled)
    return filled, last


def _write(spec: FillSpec, paths: tuple[Path, Path], filled: FilledVolume) -> None:
    """Classes and confidence."""
    files = [*zip(paths, (filled.classes, filled.confidence), strict=True)]
    if spec.kept:
        write_npys(files)
        return
    for path, array in files:  # whoever asked reads them from memory: the disk is not waited for
        np.save(path, array)


def _redrawn(spec: FillSpec, files: PriorFiles, run: RunControl) -> FillDone:
    """Write the proposal with the outlines that the project's prompt model draws. Raises as `Filler.fill`."""
    prior, pixels = _prior_at(files.classes, files.confidence), open_npy(spec.pixels)
    if prior is None:
        raise ValueError("the proposal was renewed meanwhile; press Redraw once more")
    known = np.full(prior.classes.shape, UNLABELLED, np.uint8)
    case = PropagationInput(pixels, known, (), spec.spacing_mm, window=spec.window)
    found = redraw(case, prior, still_open(spec.prompts), run)
    write_npy(files.classes_to, found.classes)
    write_npy(files.confidence_to, found.confidence)
    return FillDone(found.seconds, found.finished)


def _found(spec: FillSpec, class_id: int, run: RunControl) -> FillDone:
    """Write the objects that the project's prompt model finds in a picture. Raises as `Filler.fill`."""
    started, known = time.monotonic(), np.array(open_npy(spec.known))

    def go_on(share: float) -> bool:
        run.check()
        run.progress(share)
        return not run.out_of_time

    pixels = np.asarray(open_npy(spec.pixels))
    if pixels.ndim == 4:
        picture = np.ascontiguousarray(pixels[0])
    else:
        picture = np.repeat(as_bytes(grey(pixels, spec.window))[0][..., None], 3, 2)
    classes, sure = np.full(known.shape, UNLABELLED, np.uint8), np.zeros(known.shape, np.uint8)
    numbers = np.zeros(known.shape, np.uint16)
    objects = automatic_masks(picture, still_open(spec.prompts), known[0] == UNLABELLED, go_on)
    for number, one in reversed([*enumerate(objects, 1)]):  # the surest is on top
        here = 0, one.rows, one.columns
        classes[here][one.mask], numbers[here][one.mask] = class_id, number
        sure[here][one.mask] = round(255 * min(1.0, one.score))
    write_npy(spec.classes_to, classes)
    write_npy(spec.confidence_to, sure)
    if spec.numbers_to is not None:
        write_npy(spec.numbers_to, numbers)
    return FillDone(time.monotonic() - started, not run.out_of_time)


def _alone(spec: FillSpec, case: PropagationInput, run: RunControl) -> bool:
    """Whether the labels alone say more than the newest proposal, as it was decided last where nobody asks."""
    if not spec.decides:
        return spec.alone
    for files in reversed(spec.priors):
        prior = _prior_at(files.classes, files.confidence, files.trust)
        if prior is not None:
            alone = partial(fill, spec.propagator)
            return labels_suffice(case, prior, alone, run, before=spec.alone, judges=files.unseen)
    return spec.alone


def _prior_at(classes: Path, confidence: Path, trust: float = TRUST) -> Prior | None:
    """None where it is gone."""
    try:
        return Prior(open_npy(classes), open_npy(confidence), trust)
    except (FileNotFoundError, TornFile):
        return None


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
    lower_priority()
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
