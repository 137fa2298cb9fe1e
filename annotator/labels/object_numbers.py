"""Object numbers that nothing on an image has: the next ones, and those that became free where they run out."""

from collections.abc import Sequence

import numpy as np

from annotator.labels.numbering import MAX_OBJECTS
from storage.fold import Folded
from storage.store import Store


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
