"""Is an image of a kind that nobody has labelled? Only labelled images themselves say how far apart one kind may lie.

An image is seen in two ways: by its brightness, steps between neighbours and colours, and by the first stages of the
built-in network. In each, the ratio compares its distance to the nearest labelled image with the largest such distances
among these. `python -m benchmarks.trust --part withheld` measures what that tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from learners.methods.reference.features import BuiltInFeatures
from learners.prediction.label_guards import MIN_LABELLED
from learners.rankers.image_features import SIDE, describe
from learners.spec import RoundSpec
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from learners.training.round_cache import round_cache
from storage.array_cache import ArrayCache
from storage.arrays import open_npy

MANY = 6  # of them: one odd image does not decide alone
MOST_LABELLED = 60  # that are looked at
FAR = 1.75  # the two ratios' geometric mean, from which on an image is unlike where many are labelled
FEW = 2.0  # over the number of labelled images: by how much further it must be where few say what a kind is
EACH = 1.1  # of the ratios is at least this
SEEN = 256  # pixels of the longer side
COLOUR = 3.0  # weight of colours beside histograms
Seen = NDArray[np.float32]


class Looks:
    """What images look like in the two ways, kept on disk with what rounds keep of pixels."""

    def __init__(self, spec: RoundSpec) -> None:
        self._spec = spec
        self._kept: dict[int, tuple[Seen, Seen]] = {}

    def of(self, case: ImageReader) -> tuple[Seen, Seen]:
        image_id = case.example.image_id
        if image_id not in self._kept:
            key = f"kind-{image_id}-{self._features.key}"
            found = self._cache.get(key)
            if found is None:
                found = dict(zip(("plain", "deep"), self._looked_at(case)))
                self._cache.put(key, found)
            self._kept[image_id] = found["plain"], found["deep"]
        return self._kept[image_id]

    @cached_property
    def _features(self) -> BuiltInFeatures:
        return BuiltInFeatures()

    @cached_property
    def _cache(self) -> ArrayCache:
        return round_cache(self._spec)

    def _looked_at(self, case: ImageReader) -> tuple[Seen, Seen]:
        picture = picture_of(case, 0, case.example.shape[0] // 2)
        levels = self._features(picture, min(1.0, SEEN / max(picture.shape[:2])))
        deep = [part for level in levels for part in (level.mean((1, 2)), level.std((1, 2), correction=0))]
        plain = describe(open_npy(case.example.pixels))[SIDE * SIDE :]
        return np.concatenate([plain, COLOUR * _colours(picture)]), np.concatenate([d.numpy() for d in deep])


def _colours(picture: NDArray[np.uint8]) -> Seen:
    """(5,) how far each colour lies from grey, and how strong colours are and how much that varies."""
    seen = picture.astype(np.float32) / 255
    strength = seen.max(-1) - seen.min(-1)
    tint = seen.mean((0, 1)) - seen.mean()
    return np.array([*tint, strength.mean(), strength.std()], np.float32)


@dataclass(frozen=True)
class Kinds:
    """The labelled images of a project."""

    looks: Looks
    labelled: tuple[ImageReader, ...]

    @classmethod
    def of(cls, looks: Looks, cases: Sequence[ImageReader]) -> "Kinds":
        """All that people labelled, held out or not; some of many."""
        labelled = [case for case in cases if case.example.known is not None]
        step = -(-len(labelled) // MOST_LABELLED) or 1
        return cls(looks, tuple(labelled[::step]))

    def unlike(self, case: ImageReader) -> bool:
        """False for what is labelled itself, and while too few images are."""
        if case.example.known is not None or len(self.labelled) < MIN_LABELLED:
            return False
        seen = self.looks.of(case)
        ratios = [_nearest(view, to) / max(far, 1e-6) for view, (to, far) in zip(seen, self._references)]
        far = FAR * (1 + FEW / len(self.labelled))
        return min(ratios) > EACH and float(np.sqrt(ratios[0] * ratios[1])) > far

    @cached_property
    def _references(self) -> list[tuple[Seen, float]]:
        """In each way the (N, D) labelled images, and how far the loneliest of them are from the next."""
        views = [np.stack(column) for column in zip(*(self.looks.of(case) for case in self.labelled))]
        return [(every, _apart(every)) for every in views]


def _apart(every: Seen) -> float:
    """The largest distance to the next image; of many images its geometric mean with the second, as one may be odd."""
    far = sorted(_nearest(view, np.delete(every, n, 0)) for n, view in enumerate(every))
    return far[-1] if len(far) < MANY else float(np.sqrt(far[-1] * far[-2]))


def _nearest(view: Seen, to: Seen) -> float:
    return float(np.sqrt(((to - view) ** 2).mean(1)).min())
