"""What one acceptance is about, read from the store once: the image, what is proposed for it, and the range."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.labels.commit import Refused
from annotator.labels.numbering import Free, NumberSources, number_patches
from annotator.protocol.frames import decode_runs
from annotator.protocol.incoming import AcceptMessage, PixelBox
from annotator.protocol.prompts import box_within
from learners.objects.tallies import least_sure
from storage.arrays import MAX_CLASS, UNLABELLED, Box, Patch, SliceRef, box_around, plane, slice_shape
from storage.fold import Folded, Region, slice_region
from storage.formats.grid import shows_moments
from storage.predictions import PredictionRow
from storage.rows import ImageRow, NewLabel
from storage.store import Store

MAX_ID = 54  # characters; the other slices' events append a number to it

SlicePatch = tuple[int, Patch]  # the index of a slice along the axis, and what is accepted there


@dataclass(frozen=True)
class Acceptance:
    """An `accept` message, its image, and the newest proposal of the producer that it names."""

    message: AcceptMessage
    image: ImageRow
    prediction: PredictionRow
    gone: tuple[int, ...]  # classes that are no more, or not what they were when this was proposed
    seen: (
        NDArray[np.uint8] | None
    )  # (rows, columns) of one slice: the objects that a person chose, as they saw them

    @classmethod
    def read(cls, store: Store, message: AcceptMessage, payload: bytes) -> "Acceptance":
        """`payload`: runs of the classes seen, over the message's box. Raises Refused, ValueError, BadFrame, and
        LookupError for an unknown image."""
        check_act_id(message.id)
        image = store.image(message.image)
        prediction = store.predictions.newest(message.image, message.producer)
        if not message.lo < message.hi <= image.shape[message.axis]:
            raise Refused("the range to accept lies outside the volume; choose it again")
        if prediction is None:
            raise Refused("there is nothing to accept yet; label an object on one slice first")
        if message.box is None and message.prediction not in (None, prediction.id):
            raise Refused("the fill was renewed since you saw it; look at it once more and accept again")
        seen = None if message.box is None else _seen(message, message.box, payload, image.shape)
        return cls(message, image, prediction, _gone(store, prediction), seen)

    @property
    def region(self) -> Region:
        return slab(self.image.shape, self.message.axis, self.message.lo, self.message.hi)

    def patches(self, folded: Folded) -> list[SlicePatch]:
        """Each slice on which something is accepted: unlabelled voxels of which the proposal is certain
        enough, or which a person chose. What is of a class that is gone is left out."""
        axis, limit = self.message.axis, self.message.min_confidence * 255
        if self.seen is not None:
            free = self._known(folded, self.message.lo) == UNLABELLED
            taken = np.where(free & ~np.isin(self.seen, self.gone), self.seen, UNLABELLED)
            patch = _patch(taken)
            return [] if patch is None else [(self.message.lo, patch)]
        classes, confidence = self.prediction.classes(), self.prediction.confidence()
        found = []
        for k in range(self.message.lo, self.message.hi):
            sure = plane(confidence, axis, k) >= limit
            free = self._known(folded, k) == UNLABELLED
            there = ~np.isin(plane(classes, axis, k), self.gone)
            taken = np.where(free & sure & there, plane(classes, axis, k), UNLABELLED)
            if (patch := _patch(taken.astype(np.uint8))) is not None:
                found.append((k, patch))
        return found

    @property
    def objects(self) -> NDArray[np.uint16] | None:
        """(Z, Y, X) numbers of the proposed objects, where they are those that the person saw."""
        as_seen = self.message.prediction in (None, self.prediction.id)
        return self.prediction.objects() if as_seen else None

    @property
    def of_classes(self) -> frozenset[int] | None:
        """Whose objects get numbers; None: of all classes."""
        number = self.message.number
        if isinstance(number, tuple):
            return frozenset(number)
        return None if number else frozenset()

    @property
    def is_carried(self) -> bool:
        """Whether what is proposed goes on from numbered labels."""
        return self.prediction.kind == "propagated" and self.prediction.objects_path is not None

    def numbered(self, patches: list[SlicePatch], folded: Folded, free: Free) -> list[SlicePatch]:
        """The same with a number for every object: `free(count)` gives some. What a fill carried keeps its own."""
        axis = self.message.axis
        spacing = self.image.spacing_mm or (1.0, 1.0, 1.0)
        across = [mm for n, mm in enumerate(spacing) if n != axis]

        def numbers_at(index: int, box: Box, classes: NDArray[np.uint8]) -> NDArray[np.uint16] | None:
            """(h, w) numbers of objects of the same classes on another slice; None where there is none."""
            if folded.instances is None or not 0 <= index < self.image.shape[axis]:
                return None
            window = np.s_[box.r0 : box.r1, box.c0 : box.c1]
            same = self._known(folded, index)[window] == classes
            return np.where(same, plane(folded.instances, axis, index)[window], np.uint16(0))

        objects = self.objects

        def proposed_at(index: int, box: Box) -> NDArray[np.uint16] | None:
            if objects is None:
                return None
            here = np.s_[box.r0 : box.r1, box.c0 : box.c1]
            numbers = np.asarray(plane(objects, axis, index)[here])
            if self.of_classes is None or self.is_carried:
                return numbers
            classes = plane(self.prediction.classes(), axis, index)[here]
            return np.where(np.isin(classes, list(self.of_classes)), numbers, np.uint16(0))

        others = _given_since(folded.instances, objects) if self.is_carried else set[int]()

        def stays(number: int) -> bool:
            """No other object on the image was given this number since."""
            return objects is not None and self.is_carried and number not in others

        film = shows_moments(self.image.geometry) and axis == 0
        sources = NumberSources(free, numbers_at, proposed_at, stays, self.of_classes, film)
        return number_patches(patches, (spacing[axis], *across), sources)

    def labels(self, user: str, patches: list[SlicePatch]) -> list[NewLabel]:
        """One event a slice. The event that undo names comes last: it is the newest in the history."""
        message = self.message
        note = {
            "producer": self.prediction.producer,
            "prediction": self.prediction.id,
            "seen_label": self.prediction.seen_label,
            "min_confidence": message.min_confidence,
            "range": [message.lo, message.hi],
            **({"prior": self.prediction.prior} if self.prediction.prior else {}),
        }
        parents = self.prediction.parents() if self.objects is not None else {}
        return [
            NewLabel(
                ref=SliceRef(self.image.id, message.axis, k),
                patch=patch,
                client_id=each,
                author=user,
                source="accepted",
                seconds=message.seconds / len(patches),
                prompts={"accepted": {**note, **_divided(patch, parents), **self._certainty(k, patch)}},
            )
            for (k, patch), each in zip(patches, act_ids(message.id, len(patches)), strict=True)
        ]

    def _certainty(self, index: int, patch: Patch) -> dict[str, dict[str, float]]:
        """Of numbered objects on a slice, by number: what a tenth of their pixels is below, 0 to 1. It orders objects
        and is no probability."""
        if patch.instances is None or self.message.prediction not in (None, self.prediction.id):
            return {}
        box, sure = patch.box, plane(self.prediction.confidence(), self.message.axis, index)
        found, lowest = least_sure(patch.instances, sure[box.r0 : box.r1, box.c0 : box.c1])
        told = {str(n): round(v / 255, 3) for n, v in zip(found.tolist(), lowest.tolist(), strict=True)}
        return {"certainty": told} if told else {}

    def _known(self, folded: Folded, index: int) -> NDArray[np.uint8]:
        """(rows, columns) of a slice."""
        region = slice_region(self.image.shape, self.message.axis, index)
        return folded.region(region).squeeze(self.message.axis)


def _given_since(instances: NDArray[np.uint16] | None, objects: NDArray[np.uint16] | None) -> set[int]:
    """Numbers on an image (Z, Y, X) that lie nowhere on the proposed object of that number."""
    if instances is None or objects is None:
        return set()
    given = instances > 0
    there = np.flatnonzero(np.bincount(instances[given]))
    return {*there.tolist()} - {*np.unique(instances[given & (instances == objects)]).tolist()}


def _divided(patch: Patch, parents: dict[int, int]) -> dict[str, dict[str, int]]:
    """Of the objects on a slice those that came from a division, with their parents."""
    there = [] if patch.instances is None else np.unique(patch.instances).tolist()
    found = {str(number): parents[number] for number in there if number in parents}
    return {"parents": found} if found else {}


def act_ids(client_id: str, count: int) -> list[str]:
    """Of the events of one act: the others' ids follow from the id that undo names, and its own comes last."""
    return [f"{client_id}--{n}" for n in range(1, count)] + [client_id]


def check_act_id(client_id: str) -> None:
    if len(client_id) > MAX_ID:
        raise Refused(f"the id of such a change has at most {MAX_ID} characters; reload the page")


def _seen(
    message: AcceptMessage, pixel_box: PixelBox, payload: bytes, shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """(rows, columns): a class where an object is chosen, else UNLABELLED."""
    if message.hi != message.lo + 1:
        raise Refused("objects are accepted on one slice at a time; choose them again")
    out = np.full(slice_shape(shape, message.axis), UNLABELLED, np.uint8)
    box = box_within(pixel_box, out.shape)
    classes = decode_runs(payload, box.shape)
    if not np.isin(classes, [*range(1, MAX_CLASS + 1), UNLABELLED]).all():
        raise Refused("what was chosen is no object; choose it again")
    out[box.r0 : box.r1, box.c0 : box.c1] = classes
    return out


def _gone(store: Store, prediction: PredictionRow) -> tuple[int, ...]:
    known = {c.id for c in store.classes() if not c.since or prediction.seen_label > c.since}
    return tuple(value for value in range(1, MAX_CLASS + 1) if value not in known)


def slab(shape: tuple[int, int, int], axis: int, lo: int, hi: int) -> Region:
    """Slices `lo` to `hi` along an axis as a box of the volume."""
    bounds = [(0, n) for n in shape]
    bounds[axis] = (lo, hi)
    (z0, z1), (y0, y1), (x0, x1) = bounds
    return z0, z1, y0, y1, x0, x1


def _patch(taken: NDArray[np.uint8]) -> Patch | None:
    """As small a rectangle as holds everything that is said; None where nothing is."""
    box = box_around(taken != UNLABELLED)
    if box is None:
        return None
    return Patch(box, np.ascontiguousarray(taken[box.r0 : box.r1, box.c0 : box.c1]))
