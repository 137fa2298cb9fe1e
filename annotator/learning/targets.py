"""Label events as what a round trains on: a target volume, tight boxes, and the slices that people worked on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.spec import NamedChannel, WeakBox
from learners.training.targets import OPEN_BACKGROUND
from storage.arrays import BACKGROUND, UNLABELLED, plane
from storage.fold import fold
from storage.rows import ImageRow, LabelRow


def places_of(labels: Sequence[LabelRow]) -> tuple[tuple[int, int], ...]:
    """The (axis, index) of the slices that people worked on."""
    return tuple(sorted({(label.axis, label.index) for label in labels}))


def named_channels(image: ImageRow) -> tuple[NamedChannel, ...]:
    """What learners see of it beside its picture."""
    return tuple(NamedChannel(channel.name, channel.path) for channel in image.measured)


@dataclass(frozen=True)
class TargetVolumes:
    """What labels say of one image."""

    known: NDArray[np.uint8]  # (Z, Y, X) label values, UNLABELLED where nothing is known
    numbers: NDArray[np.uint16] | None  # (Z, Y, X) of its objects; None where none has one


def target_volumes(
    shape: tuple[int, int, int], labels: Sequence[LabelRow], first_use: dict[int, int]
) -> TargetVolumes:
    """The background of a slice that was completed before a class was first used is open: it may be that class.
    Inside a tight box nothing is known."""
    folded = fold(shape, labels)
    out = folded.classes.copy()
    newest_class = max((first for c, first in first_use.items() if c != BACKGROUND), default=0)
    for label in labels:
        if label.kind == "complete":
            cut = plane(out, label.axis, label.index)
            value = OPEN_BACKGROUND if label.id < newest_class else BACKGROUND
            cut[cut == UNLABELLED] = value
    for each in weak_boxes(labels):
        r0, c0, r1, c1 = each.box
        inside = (slice(r0, r1), slice(c0, c1))
        drawn = plane(folded.classes, each.axis, each.index)[inside]
        plane(out, each.axis, each.index)[inside][drawn == UNLABELLED] = UNLABELLED
    return TargetVolumes(out, folded.instances)


def weak_boxes(labels: Sequence[LabelRow]) -> tuple[WeakBox, ...]:
    """Patches that say only "one object of this class fills this box": prompts {"box_of": class}."""
    found = []
    for label in labels:
        value = label.prompts.get("box_of")
        if type(value) is int and label.box is not None and 0 < value < OPEN_BACKGROUND:
            b = label.box
            found.append(WeakBox(label.axis, label.index, value, (b.r0, b.c0, b.r1, b.c1)))
    return tuple(found)
