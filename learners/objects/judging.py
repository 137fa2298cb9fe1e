"""What a model proposes on a held-out image against the numbered objects there, class by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.objects.cutting import number_objects
from learners.objects.scores import ObjectCounts, count_objects
from storage.arrays import UNLABELLED


@dataclass(frozen=True)
class HeldObjects:
    """The truth of one image."""

    known: NDArray[np.uint8]  # (Z, Y, X) label values, UNLABELLED where nothing judges
    numbers: NDArray[np.uint16]  # (Z, Y, X)
    spacing_mm: tuple[float, float, float] | None

    def judge(
        self, values: NDArray[np.uint8], numbers: NDArray[np.uint16] | None, class_ids: Sequence[int]
    ) -> dict[int, ObjectCounts]:
        """`numbers`: the model's own objects; None: its masks are cut apart as an acceptance would cut them. Of a class
        voxels without a number belong to objects that nobody knows, which judge nothing."""
        found: dict[int, ObjectCounts] = {}
        for value in class_ids:
            of_class = self.known == value
            truth = np.where(of_class, self.numbers, np.uint16(0))
            if not truth.any():
                continue
            known = (self.known != UNLABELLED) & ~(of_class & (truth == 0))
            found[value] = count_objects(self._proposed(values == value, numbers), truth, known)
        return found

    def _proposed(
        self, mask: NDArray[np.bool_], numbers: NDArray[np.uint16] | None
    ) -> NDArray[np.uint16] | NDArray[np.uint32]:
        if numbers is None:
            return number_objects(mask.astype(np.uint8), self.spacing_mm or (1.0, 1.0, 1.0))
        return np.where(mask, numbers, np.uint16(0))


def added(a: Mapping[int, ObjectCounts], b: Mapping[int, ObjectCounts]) -> dict[int, ObjectCounts]:
    """The counts of more images."""
    return {value: a.get(value, ObjectCounts()) + b.get(value, ObjectCounts()) for value in {**a, **b}}
