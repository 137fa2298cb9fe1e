"""Prompts on slices answered with the object in the whole volume; where the server cannot, by the built-in model."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotator.prompting.answering import PackedAnswer, Question
from annotator.prompting.volumes.connection import Unanswered, VolumeMask
from annotator.prompting.volumes.leases import SentVolume
from annotator.prompting.volumes.server import VolumeServer
from annotator.prompting.volumes.steps import PromptStep, steps_of
from annotator.protocol.arrays import pack_candidates, pack_volume
from annotator.protocol.frames import unpack_bits
from annotator.protocol.prompts import box_within
from models import REMOTE
from models.prompt import MaskPrediction
from storage.arrays import Box3, SliceRef, plane
from storage.store import Store

MOST_SHOWN = 8  # objects that people have on offer: one each, cut to where they are
AS_BUILT_IN = "so the built-in model answered"
OF_A_MASK = "this server draws new objects, and the built-in model corrects labels and proposals"

StandIn = Callable[[Sequence[Question]], list[PackedAnswer | Exception]]


@dataclass(frozen=True)
class ShownObject:
    """What somebody has on offer: nothing of it is lost when the server is."""

    volume: SentVolume
    steps: tuple[PromptStep, ...]
    window: Box3
    part: VolumeMask

    def whole(self) -> VolumeMask:
        """(Z, Y, X)"""
        out = np.zeros(self.volume.shape, np.bool_)
        out[self.window] = self.part
        return out


class VolumeAnswers:
    """Thread-safe: what it keeps is replaced as a whole."""

    def __init__(self, store: Store, server: VolumeServer, stand_in: StandIn) -> None:
        self._store, self._server, self._stand_in = store, server, stand_in
        self._shown: tuple[ShownObject, ...] = ()  # newest last

    def look(self, ref: SliceRef) -> None:
        """Raises LookupError."""
        if self._store.image(ref.image_id).is_volume:
            self._server.look(self._volume(ref.image_id))

    def answer(self, questions: Sequence[Question]) -> list[PackedAnswer | Exception]:
        """In order."""
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> PackedAnswer | Exception:
        try:
            if why := self._not_for_server(question):
                return self._by_stand_in(question, why)
            return self._in_volume(question)
        except Exception as error:
            return error

    def _not_for_server(self, question: Question) -> str:
        if not self._store.image(question.message.image).is_volume:
            return f"{self._server.title} answers in volumes only, {AS_BUILT_IN}"
        return OF_A_MASK if question.message.mask_box is not None else ""

    def _by_stand_in(self, question: Question, why: str) -> PackedAnswer | Exception:
        found = self._stand_in([question])[0]
        return found if isinstance(found, Exception) else replace(found, why=why)

    def _in_volume(self, question: Question) -> PackedAnswer | Exception:
        volume, steps = self._volume(question.message.image), steps_of(question.message)
        began = time.perf_counter()
        try:
            mask = self._server.mask(volume, steps) if steps else np.zeros(volume.shape, np.bool_)
        except Unanswered as error:
            return self._patched(question, volume, steps, f"{self._server.title} {error}, {AS_BUILT_IN}")
        window = self._keep(volume, steps, mask)
        ms = round((time.perf_counter() - began) * 1000, 1)
        return replace(_packed(question, mask, window, ms), model=REMOTE)

    def _patched(
        self, question: Question, volume: SentVolume, steps: tuple[PromptStep, ...], why: str
    ) -> PackedAnswer | Exception:
        """The stand-in's mask on the open slice, and the object as it was on all others."""
        found = self._by_stand_in(question, why)
        before = self._before(volume, steps)
        if isinstance(found, Exception) or before is None or not found.candidates:
            return found
        whole, said, first = before.whole(), question.message, found.candidates[0]
        here = plane(whole, said.axis, said.index)
        here[...] = False
        if any(first["box"]):
            box = box_within(first["box"], (here.shape[0], here.shape[1]))
            bits = found.bits[first["offset"] : first["offset"] + first["bytes"]]
            here[box.r0 : box.r1, box.c0 : box.c1] = unpack_bits(bits, box.shape)
        window = self._keep(volume, steps, whole)
        return replace(_packed(question, whole, window, found.ms), model=found.model, why=found.why)

    def _before(self, volume: SentVolume, steps: Sequence[PromptStep]) -> ShownObject | None:
        """The newest that these prompts correct."""
        said = Counter(steps)
        ours = (one for one in reversed(self._shown) if one.volume == volume and one.steps)
        return next((one for one in ours if not Counter(one.steps) - said), None)

    def _keep(self, volume: SentVolume, steps: tuple[PromptStep, ...], mask: VolumeMask) -> Box3 | None:
        """Where the object is; None where there is nothing."""
        window = window_around(mask)
        if window is not None:
            one = ShownObject(volume, steps, window, mask[window].copy())
            self._shown = (*self._shown[1 - MOST_SHOWN :], one)
        return window

    def _volume(self, image_id: int) -> SentVolume:
        image = self._store.image(image_id)
        return SentVolume(image.path, image.shape, image.spacing_mm or (1.0, 1.0, 1.0))


def window_around(mask: VolumeMask) -> Box3 | None:
    """The smallest box of a (Z, Y, X) mask that holds all of it."""
    ends = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(tuple(d for d in range(3) if d != axis)))
        if not len(at):
            return None
        ends.append(slice(int(at[0]), int(at[-1]) + 1))
    return ends[0], ends[1], ends[2]


def _packed(question: Question, mask: VolumeMask, window: Box3 | None, ms: float) -> PackedAnswer:
    """The slice of it that is open as a candidate, and all of it."""
    said = question.message
    here = np.ascontiguousarray(plane(mask, said.axis, said.index))
    candidates, bits = pack_candidates(MaskPrediction(here[None], np.ones(1, np.float32)))
    whole, more = pack_volume(mask, window, len(bits)) if window is not None else (None, b"")
    return PackedAnswer(candidates, bits + more, ms, volume=whole)
