"""Which number an object gets: the one that a fill carried there, else one that nothing on the image has."""

from collections.abc import Sequence

import numpy as np

from annotator.labels.numbering import MAX_OBJECTS
from storage.arrays import BACKGROUND, ERASED, Patch, SliceRef, TornFile, plane
from storage.fold import Folded
from storage.store import Store

SAME = 0.5  # of what is drawn, and of the object proposed there


def carried_number(store: Store, ref: SliceRef, patch: Patch) -> int:
    """The number of the object that a fill carried to where somebody drew one; 0 where it carried none.

    More than half of what is drawn lies on it, and more than half of it there is drawn: it is the same object."""
    rows = [row for row in store.predictions.of(ref.image_id) if row.kind == "propagated"]
    drawn = (patch.classes > BACKGROUND) & (patch.classes < ERASED)
    if not rows or rows[-1].objects_path is None or not drawn.any():
        return 0
    try:
        objects, classes = rows[-1].objects(), rows[-1].classes()
    except (FileNotFoundError, TornFile):  # a newer fill has just taken its place
        return 0
    assert objects is not None
    box, value = patch.box, int(patch.classes[drawn].max())
    there = np.where(plane(classes, ref.axis, ref.index) == value, plane(objects, ref.axis, ref.index), 0)
    numbers, shares = np.unique(there[box.r0 : box.r1, box.c0 : box.c1][drawn], return_counts=True)
    number, pixels = int(numbers[shares.argmax()]), int(shares.max())
    same = pixels > SAME * drawn.sum() and pixels > SAME * (there == number).sum()
    return number if same else 0


def free_numbers(store: Store, folded: Folded, image_id: int, count: int) -> Sequence[int]:
    """So many numbers that no object on this image has. Raises ValueError where there are no more.

    They go on from the highest that ever was, so that an undone object finds its number free. Where that passes what
    two bytes hold, numbers are used again that no voxel has, of removed objects last.
    """
    first = store.next_instance(image_id)
    if first + count - 1 <= MAX_OBJECTS:
        return range(first, first + count)
    taken = np.zeros(MAX_OBJECTS + 1, bool)
    taken[0] = True
    if folded.instances is not None:
        taken[np.unique(folded.instances)] = True
    once = np.zeros(MAX_OBJECTS + 1, bool)
    once[store.instances(image_id)] = True
    free = np.concatenate([np.flatnonzero(~taken & ~once), np.flatnonzero(~taken & once)])
    if len(free) < count:
        raise ValueError(
            f"an image has at most {MAX_OBJECTS:,} numbered objects; go on without numbering them"
        )
    return [int(number) for number in free[:count]]
