"""Files of what is known of images, for rounds: label values, and beside them the numbers of objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotator.learning.quality.core_set import judging_labels
from annotator.learning.targets import TargetVolumes, target_volumes
from learners.spec import Example
from learners.training.targets import only_slices
from storage.arrays import UNLABELLED, write_npy
from storage.judging import CoreRow
from storage.rows import ImageRow, LabelRow
from storage.store import Store

NUMBERS = ".numbers.npy"
Slices = Sequence[tuple[int, int]]  # (axis, index)


@dataclass(frozen=True)
class TargetPaths:
    known: Path
    numbers: Path | None  # None where the image has no numbered object


@dataclass(frozen=True)
class TargetFiles:
    """Kept by image and clock, so only what changed is folded again."""

    store: Store
    directory: Path

    def of_labels(self, row: ImageRow, rev: int, labels: Sequence[LabelRow]) -> TargetPaths:
        """What all labels of an image say."""

        def made() -> TargetVolumes:
            return target_volumes(row.shape, labels, self.store.rounds.first_use())

        return self._kept(row.id, f"{row.id}-{rev}", made)

    def of_core(self, example: Example, core: CoreRow, slices: Slices) -> TargetPaths:
        """What the labels say on these slices by which models are judged."""
        labels = judging_labels(core, self.store.labels(example.image_id))
        return self._on_slices(example, f"{example.image_id}-{core.id}.core", labels, slices)

    def of_held(self, example: Example, labels: Sequence[LabelRow], slices: Slices) -> TargetPaths:
        """What they say on slices of a held-out image that the core set does not have."""
        assert example.known is not None
        return self._on_slices(example, f"{example.known.stem}.held", labels, slices)

    def _on_slices(
        self, example: Example, name: str, labels: Sequence[LabelRow], slices: Slices
    ) -> TargetPaths:
        def made() -> TargetVolumes:
            found = target_volumes(example.shape, labels, self.store.rounds.first_use())
            known = only_slices(found.known, slices)
            if found.numbers is None:
                return TargetVolumes(known, None)
            return TargetVolumes(known, np.where(known == UNLABELLED, np.uint16(0), found.numbers))

        return self._kept(example.image_id, name, made)

    def names(self, image_id: int, rev: int) -> set[str]:
        name = f"{image_id}-{rev}"
        return {f"{start}{end}" for start in (name, f"{name}.held") for end in (".npy", NUMBERS)}

    def judging(self, core: CoreRow | None) -> tuple[str, ...]:
        """How the names of files end that judge now."""
        return () if core is None else (f"-{core.id}.core.npy", f"-{core.id}.core{NUMBERS}")

    def _kept(self, image_id: int, name: str, make: Callable[[], TargetVolumes]) -> TargetPaths:
        """Older projects have files without numbers, which are made again."""
        path, beside = self.directory / f"{name}.npy", self.directory / f"{name}{NUMBERS}"
        numbered = any(self.store.instances(image_id))
        if not path.exists() or (numbered and not beside.exists()):
            found = make()
            if numbered:
                none = np.zeros(found.known.shape, np.uint16)
                write_npy(beside, none if found.numbers is None else found.numbers)
            write_npy(path, found.known)
        return TargetPaths(path, beside if numbered else None)
