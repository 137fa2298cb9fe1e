"""References: labelled slices as pictures, and what is known about each of their cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.cluster import k_means, typicality
from learners.rankers.image_features import describe
from learners.training.data import ImageReader
from learners.training.pictures import picture_of
from learners.training.targets import OPEN_BACKGROUND, without_slices
from storage.arrays import BACKGROUND, UNLABELLED, open_npy, plane

MAX_IMAGES = 8  # references; more labelled images than these: the most typical ones
MAX_SLICES = 12  # of all references together
PURE = 0.5  # of a cell's pixels that make it an object's
PURE_BACKGROUND = 0.95  # a border cell is nobody's


@dataclass(frozen=True)
class ReferenceSlice:
    """One reference slice."""

    image_id: int
    picture: NDArray[np.uint8]  # (H, W, 3)
    values: NDArray[np.uint8]  # (H, W) label values, UNLABELLED where nobody said anything
    along: float = 0.0  # 0..1, where the slice lies along its axis


@dataclass(frozen=True)
class Cells:
    """What is known of the cells of a grid, for one class."""

    yes: Tensor  # (h, w) bool
    no: Tensor  # (h, w) bool: background or another class


def shots_of(cases: Sequence[ImageReader], chosen: Sequence[int], axis: int) -> list[ReferenceSlice]:
    """The chosen images' labelled slices along an axis; of the labelled ones the most typical where none is chosen."""
    labelled = [case for case in cases if case.example.known is not None and not case.example.all_held]
    wanted = [case for case in labelled if case.example.image_id in chosen] or _typical(labelled)
    each = max(1, MAX_SLICES // max(1, len(wanted)))
    return [shot for case in wanted for shot in _slices(case, axis, each)]


def axis_of(cases: Sequence[ImageReader]) -> int:
    """The axis along which most slices were labelled."""
    along = [a for case in cases for a, index in case.example.slices if (a, index) not in case.example.held]
    return max(range(3), key=along.count) if along else 0


def cells_of(values: NDArray[np.uint8], value: int, late: bool, grid: tuple[int, int]) -> Cells:
    """Cells that are this class, and cells that are surely not. On a slice that was completed before a late class
    was first used, background says nothing about it."""
    no = (values != value) & (values != UNLABELLED)
    if late:
        no &= values != OPEN_BACKGROUND
    shares = [_shares(mask, grid) for mask in (values == value, no)]
    return Cells(shares[0] >= PURE, shares[1] >= PURE_BACKGROUND)


def diameter_of(shots: Sequence[ReferenceSlice]) -> float:
    """Of the typical object in pixels; 32 where there is none."""
    areas: list[int] = []
    for shot in shots:
        objects = (shot.values != UNLABELLED) & (shot.values != BACKGROUND)
        objects &= shot.values != OPEN_BACKGROUND
        _, _, stats, _ = cv2.connectedComponentsWithStats(objects.astype(np.uint8))
        areas += [int(a) for a in stats[1:, cv2.CC_STAT_AREA] if a > 4]
    return float(np.sqrt(np.median(areas))) if areas else 32.0


def _shares(mask: NDArray[np.bool_], grid: tuple[int, int]) -> Tensor:
    small = cv2.resize(mask.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.asarray(small, np.float32))


def _slices(case: ImageReader, axis: int, most: int) -> list[ReferenceSlice]:
    """Evenly spread over the slices of this axis on which anything is known, most of all where objects are."""
    assert case.example.known is not None
    known = without_slices(open_npy(case.example.known), case.example.held)
    count = known.shape[axis]
    said = [i for i in range(count) if (plane(known, axis, i) != UNLABELLED).any()]
    objects = [i for i in said if has_object(plane(known, axis, i))]
    picks = _spread(objects or said, most)
    if len(picks) == most > 2 and (others := [i for i in said if i not in objects]):
        picks[-1] = others[len(others) // 2]  # one slice without objects tells what else looks like them
    return [
        ReferenceSlice(
            case.example.image_id,
            picture_of(case, axis, i),
            np.array(plane(known, axis, i)),
            i / max(1, count - 1),
        )
        for i in picks
    ]


def has_object(values: NDArray[np.uint8]) -> bool:
    """Whether a class was drawn there."""
    return bool(((values != UNLABELLED) & (values != BACKGROUND) & (values != OPEN_BACKGROUND)).any())


def _spread(items: Sequence[int], most: int) -> list[int]:
    if len(items) <= most:
        return list(items)
    return [items[int((k + 0.5) * len(items) / most)] for k in range(most)]


def _typical(labelled: Sequence[ImageReader]) -> list[ImageReader]:
    """At most MAX_IMAGES, one of each group of images that look alike: the one that is most like the others."""
    if len(labelled) <= MAX_IMAGES:
        return list(labelled)
    rows = np.stack([describe(open_npy(case.example.pixels)) for case in labelled])
    groups, scores = k_means(rows, MAX_IMAGES, np.random.default_rng(0)), typicality(rows)
    best = {g: max(np.flatnonzero(groups == g), key=lambda i: scores[i]) for g in np.unique(groups)}
    return [labelled[int(i)] for i in best.values()]
