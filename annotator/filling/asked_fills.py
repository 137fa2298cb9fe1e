"""Fills that somebody waits for and nobody keeps: what another tool asks about a volume, in a process of its own."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from annotator.prompting.selection import prompt_choice
from learners.propagate.contract import LabelledSlice
from learners.propagate.fused import TRUST
from learners.propagate.process import FillSpec, PriorFiles, ProcessFiller
from storage.arrays import open_npy
from storage.store import Store

SECONDS = 20.0  # a person waits: the best so far is better than all of it later
SURE = 230  # of 255, that what is there already is right


@dataclass(frozen=True)
class FillQuestion:
    """What is known of a volume by what a person has just pointed at."""

    asker: str  # whose newer question ends this one
    pixels: Path  # .npy (Z, Y, X[, 3])
    known: NDArray[np.uint8]  # (Z, Y, X) class, UNLABELLED where nothing is known
    slices: tuple[LabelledSlice, ...]
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float]
    before: NDArray[np.uint8] | None = None  # (Z, Y, X) what is to be corrected


class AskedFills:
    """Thread-safe. One at a time."""

    def __init__(self, store: Store) -> None:
        self._store, self._filler = store, ProcessFiller()
        self._turn = threading.Lock()  # held while a volume is filled; no other lock is taken inside it
        self._newest: dict[str, object] = {}

    def close(self) -> None:
        self._newest = {}
        self._filler.close()

    def fill(self, propagator: str, asked: FillQuestion) -> tuple[NDArray[np.uint8], float]:
        """(Z, Y, X) classes, and the seconds that they took. Raises PropagationCancelled where the same person asked
        anew, FillFailed, ValueError."""
        mine = self._newest[asked.asker] = object()
        with self._turn, self._files() as folder:
            spec = self._spec(propagator, asked, folder)
            newer = partial(self._is_old, asked.asker, mine)
            done = self._filler.fill(spec, newer, lambda share: None)
            return np.array(open_npy(spec.classes_to)), done.seconds

    def _is_old(self, asker: str, question: object) -> bool:
        return self._newest.get(asker) is not question

    @contextmanager
    def _files(self) -> Iterator[Path]:
        """The start of the paths of its files, which are gone afterwards; those of a crash go at the next start."""
        stem = self._store.predictions.directory / f"{uuid.uuid4().hex}.asked"
        try:
            yield stem
        finally:
            for path in stem.parent.glob(f"{stem.name}*"):
                path.unlink(missing_ok=True)

    def _spec(self, propagator: str, asked: FillQuestion, stem: Path) -> FillSpec:
        known = stem.with_name(f"{stem.name}.known.npy")
        np.save(known, asked.known)  # gone with the answer: nobody waits until the disk has it
        priors = () if asked.before is None else (_prior(stem, asked.before),)
        return FillSpec(
            image_id=-crc32(os.fsencode(asked.pixels)),  # what is remembered of one volume is no other's
            propagator=propagator,
            pixels=asked.pixels,
            known=known,
            slices=asked.slices,
            spacing_mm=asked.spacing_mm,
            window=asked.window,
            seconds=SECONDS,
            classes_to=stem.with_name(f"{stem.name}.classes.npy"),
            confidence_to=stem.with_name(f"{stem.name}.confidence.npy"),
            prompts=prompt_choice(self._store),
            priors=priors,
            kept=False,
        )


def _prior(stem: Path, before: NDArray[np.uint8]) -> PriorFiles:
    paths = [stem.with_name(f"{stem.name}.{name}.npy") for name in ("before", "sure", "to", "sure_to")]
    np.save(paths[0], before)
    np.save(paths[1], np.full(before.shape, SURE, np.uint8))
    return PriorFiles(paths[0], paths[1], TRUST, paths[2], paths[3])
