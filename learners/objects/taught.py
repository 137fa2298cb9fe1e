"""What numbered labels teach about distances or flows, worked out once a round and image, and kept on the disk."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learners.objects.distances import taught
from learners.objects.flows import taught_flows
from learners.objects.scale import FLOWS, ObjectScale
from learners.spec import Example
from learners.training.targets import OPEN_BACKGROUND, without_slices
from storage.arrays import BACKGROUND, UNLABELLED, Box3, open_npy, write_npy


@dataclass
class TaughtDistances:
    """`folder` is the round's own."""

    folder: Path
    scale: ObjectScale
    _made: set[int] = field(default_factory=set)

    def of(self, example: Example, region: Box3) -> NDArray[np.uint8]:
        """(2C, z, y, x) as `taught` or `taught_flows`, of a box inside the image; what is held out teaches nothing."""
        path = self.folder / f"taught-{example.image_id}.npy"
        if example.image_id not in self._made:
            write_npy(path, self._whole(example))
            self._made.add(example.image_id)
        return np.array(open_npy(path)[(slice(None), *region)])

    def forget(self) -> None:
        for image_id in self._made:
            (self.folder / f"taught-{image_id}.npy").unlink(missing_ok=True)
        self._made.clear()

    def _whole(self, example: Example) -> NDArray[np.uint8]:
        assert example.known is not None
        known = np.array(without_slices(open_npy(example.known), example.held))
        known[known == OPEN_BACKGROUND] = BACKGROUND
        numbers = np.zeros(known.shape, np.uint16)
        if example.numbers is not None:
            numbers = np.where(known == UNLABELLED, np.uint16(0), open_npy(example.numbers))
        ids, spacing = self.scale.class_ids, example.spacing_mm or (1.0, 1.0, 1.0)
        flows = partial(taught_flows, dims=2 if self.scale.flat else 3)
        teach = flows if self.scale.told_by == FLOWS else taught
        if not self.scale.flat:
            return teach(known, numbers, ids, spacing)
        slices = (teach(known[z : z + 1], numbers[z : z + 1], ids, spacing) for z in range(len(known)))
        return np.concatenate(list(slices), axis=1)
