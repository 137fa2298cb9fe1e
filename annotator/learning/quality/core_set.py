"""Which held-out labels judge today: a core set that stays as it is, so that rounds and learners can be compared.

It is renewed only at marked points: when twice as many slices are held out as it has, or when somebody changed or took
back a label that it judges by. Numbers on either side of such a point are never compared. Only slices that people
labelled themselves judge (`unaided_slices`); where the last of them goes, an empty set judges nothing.
"""

import hashlib
from collections.abc import Iterable

from annotator.learning.quality.held_out import WHOLE
from annotator.learning.quality.unaided import SlicePlace, unaided_slices
from storage.judging import CoreRow, JudgedPlace
from storage.rows import LabelRow
from storage.store import Store

GROWTH = 2  # times as many slices as before


def todays_core(store: Store) -> CoreRow | None:
    """The set that judges now; None where nothing ever judged."""
    held, (_, images) = store.rounds.held_out(), store.images(limit=-1)
    shapes = {row.id: row.shape for row in images}
    there = sorted({image for image, *_ in held} & set(shapes))
    labels = {image_id: store.labels(image_id) for image_id in there}
    unaided = {image_id: unaided_slices(shapes[image_id], labels[image_id]) for image_id in there}
    places = frozenset(_held(held, unaided))
    core = store.judging.core()
    if core is None and not places:
        return None
    if (
        core is not None
        and not _outgrown(core, places)
        and core.digest == _digest(labels, core.clock, core.places)
    ):
        return core
    clock = store.newest_label()
    return store.judging.add_core(clock, places, _digest(labels, clock, places))


def judging_labels(core: CoreRow, labels: Iterable[LabelRow]) -> list[LabelRow]:
    """Those of an image by which it is judged."""
    return [label for label in labels if label.id <= core.clock]


def _outgrown(core: CoreRow, places: frozenset[JudgedPlace]) -> bool:
    return len(places) >= max(1, GROWTH * len(core.places)) or not core.places <= places


def _held(held: set[JudgedPlace], unaided: dict[int, frozenset[SlicePlace]]) -> list[JudgedPlace]:
    """Those slices that are held out: of whole images where there are any, since between slices that taught a model is
    better than on new images."""
    every = [(image_id, *at) for image_id, places in unaided.items() for at in places]
    whole = [place for place in every if (place[0], *WHOLE) in held]
    return whole or [place for place in every if place in held]


def _digest(labels: dict[int, list[LabelRow]], clock: int, places: frozenset[JudgedPlace]) -> str:
    """Of the labels that a set judges by, and of newer ones on its slices."""
    images = {image for image, *_ in places}
    said = [
        (row.id, row.relabelled)
        for image_id in sorted(images)
        for row in labels.get(image_id, ())
        if row.id <= clock or (image_id, row.axis, row.index) in places
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]
