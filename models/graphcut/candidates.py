"""Candidate regions: what one is, where it lies, and how much two of them agree."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.graphcut.frame import WorkFrame
from models.prompt import FloatBox


@dataclass(frozen=True)
class CandidateRegion:
    """A candidate in its frame, with how good the ranking believes it is."""

    frame: WorkFrame
    mask: NDArray[np.uint8]  # (h, w) 0/1
    score: float


def distinct(found: list[CandidateRegion], count: int) -> list[CandidateRegion]:
    """The best regions that differ from one another by more than a little in extent."""
    heads: list[CandidateRegion] = []
    for region in found:
        if all(overlap(region, head) < 0.7 for head in heads):
            heads.append(region)
        if len(heads) == count:
            break
    return heads


def overlap(a: CandidateRegion, b: CandidateRegion) -> float:
    """IoU of two regions, judged in the frame of the first."""
    there = moved(b, a.frame) > 0.5
    here = a.mask > 0
    outside = max(covered(b) - covered_within(there, a.frame), 0.0)
    union = covered_within(there | here, a.frame) + outside
    return covered_within(there & here, a.frame) / max(union, 1e-6)


def covered(region: CandidateRegion) -> float:
    """Slice pixels of a region."""
    return float(region.mask.sum() / np.prod(region.frame.zoom))


def covered_within(mask: NDArray[np.bool_], frame: WorkFrame) -> float:
    return float(np.count_nonzero(mask) / np.prod(frame.zoom))


def moved(region: CandidateRegion, frame: WorkFrame) -> NDArray[np.float32]:
    """(h, w) the region as another frame sees it, soft at the edge, 0 outside."""
    (zy, zx), (fy, fx) = region.frame.zoom, frame.zoom
    down, across = zy / fy, zx / fx
    shift = np.array([
        [across, 0, (frame.c0 - region.frame.c0) * zx + (across - 1) / 2],
        [0, down, (frame.r0 - region.frame.r0) * zy + (down - 1) / 2],
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(region.mask.astype(np.float32), shift, (frame.w, frame.h), flags=flags)
    return np.asarray(seen, np.float32)


def agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Soft IoU, nothing below a half."""
    iou = float(np.minimum(a, b).sum() / max(np.maximum(a, b).sum(), 1e-6))
    return iou if iou > 0.5 else 0.0


def bounds(region: CandidateRegion) -> FloatBox:
    """The region's bounding box on the slice."""
    rows, columns = np.flatnonzero(region.mask.any(1)), np.flatnonzero(region.mask.any(0))
    (zy, zx), f = region.frame.zoom, region.frame
    return (
        f.r0 + rows[0] / zy,
        f.c0 + columns[0] / zx,
        f.r0 + (rows[-1] + 1) / zy,
        f.c0 + (columns[-1] + 1) / zx,
    )
