"""Which labelled slices people labelled themselves: these alone judge models and calibrate what they say of themselves.

What was accepted says no more than the proposal did, and a model would be judged by its own masks. Such a slice is left
out and does not become background. It is left out too where somebody corrected it: outlines that nobody touched are
still the model's, and in a volume the worst slices are the ones that people correct. Cleared and drawn anew it counts.
"""

from collections import defaultdict
from collections.abc import Sequence

from storage.fold import overlap, region_of, slice_region
from storage.rows import LabelRow
from storage.store import Store

SlicePlace = tuple[int, int]  # axis and index


def unaided_of(store: Store, image_id: int) -> frozenset[SlicePlace]:
    """Slices of an image that may judge."""
    return unaided_slices(store.image(image_id).shape, store.labels(image_id))


def unaided_slices(shape: tuple[int, int, int], labels: Sequence[LabelRow]) -> frozenset[SlicePlace]:
    """Slices that people labelled and on which nothing was accepted; a complete one has nothing left to accept."""
    said: dict[SlicePlace, list[LabelRow]] = defaultdict(list)
    for row in labels:
        said[row.axis, row.index].append(row)
    accepted = [row for row in labels if row.source == "accepted"]
    return frozenset(at for at, rows in said.items() if not _aided(shape, at, rows, accepted))


def _aided(
    shape: tuple[int, int, int], at: SlicePlace, rows: Sequence[LabelRow], accepted: Sequence[LabelRow]
) -> bool:
    """Also by what was accepted on slices that cross it."""
    if any(row.source == "accepted" for row in rows):
        return True
    complete = min((row.id for row in rows if row.kind == "complete"), default=None)
    here = slice_region(shape, *at)
    return any(
        row.box is not None
        and (complete is None or row.id < complete)
        and overlap(region_of(row.axis, row.index, row.box), here)
        for row in accepted
    )
