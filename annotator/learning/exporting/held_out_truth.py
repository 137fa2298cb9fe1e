"""What people said about held-out images: the truth that an exported model is compared with, image by image.

These are the images and labels that judge models today, so that a report and the number of the model tell the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotator.learning.quality.core_set import judging_labels
from annotator.learning.targets import target_volumes
from learners.training.targets import only_slices
from storage.arrays import BACKGROUND, UNLABELLED
from storage.rows import ImageRow
from storage.store import Store


@dataclass(frozen=True)
class HeldOutTruth:
    """One image with labels that judge and never taught."""

    image: ImageRow
    known: NDArray[np.uint8]  # (Z, Y, X) label values, UNLABELLED where nothing judges


def judging_images(store: Store) -> list[int]:
    """Those that are still there, in the order in which they came."""
    core, (_, there) = store.judging.core(), store.images(limit=-1)
    judging = set() if core is None else {image for image, *_ in core.places}
    return [row.id for row in there if row.id in judging]


def held_out_truths(store: Store, class_ids: Sequence[int]) -> Iterator[HeldOutTruth]:
    """One at a time: each is as large as its image. What is none of these classes judges nothing."""
    core, first_use = store.judging.core(), store.rounds.first_use()
    for image_id in judging_images(store) if core is not None else ():
        assert core is not None
        image = store.image(image_id)
        said = target_volumes(image.shape, judging_labels(core, store.labels(image_id)), first_use)
        known = only_slices(said.known, core.slices_of(image_id))
        known[~np.isin(known, (BACKGROUND, *class_ids))] = UNLABELLED
        yield HeldOutTruth(image, known)
