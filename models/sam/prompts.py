"""Our prompts in SAM's terms: points (x, y) and boxes in the resized picture, strokes as points, masks as logits."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prompt import FloatBox, Prompts, Scribble

STROKE_POINTS = 6  # a stroke says no more to SAM than this many points along it
MAX_POINTS = 64  # the newest ones; SAM was trained with a dozen
CONFIDENT = 8.0  # logit of a pixel well inside a mask that is given to refine


@dataclass(frozen=True)
class SamPrompts:
    """What SAM's prompt encoder takes; coordinates in pixels of the resized picture, its centres half a pixel off."""

    points_xy: NDArray[np.float32]  # (N, 2)
    labels: NDArray[np.int32]  # (N,)
    box_xyxy: NDArray[np.float32] | None  # (4,)
    mask: NDArray[np.float32] | None  # (side/4, side/4) logits

    @property
    def ambiguous(self) -> bool:
        """A single click leaves open which of several nested things is meant."""
        return len(self.labels) == 1 and self.box_xyxy is None and self.mask is None


def sam_prompts(prompts: Prompts, shape: tuple[int, int], side: int) -> SamPrompts:
    """Prompts on an (H, W) slice for a picture of longer side `side`; raises ValueError where none says what."""
    said = [(label, point) for label, point in zip(prompts.labels, prompts.points_rc, strict=True)]
    said += [(stroke.label, point) for stroke in prompts.scribbles for point in sampled(stroke)]
    mask = None if prompts.mask is None or not prompts.mask.any() else prompts.mask
    if mask is not None and mask.shape != shape:
        raise ValueError(f"the mask to refine is {mask.shape}, the slice {shape}")
    if prompts.box is None and mask is None and not any(label for label, _ in said):
        raise ValueError("nothing points at an object yet: click on it, or draw a box around it")
    if mask is not None and not said and prompts.box is None:
        said = [(1, deepest(mask))]
    said = said[-MAX_POINTS:]
    scale = resize_scale(shape, side)
    points = np.array([clipped(point, shape) for _, point in said], np.float64).reshape(-1, 2)
    return SamPrompts(
        (points[:, ::-1] * scale[::-1]).astype(np.float32),
        np.array([label for label, _ in said], np.int32),
        None if prompts.box is None else sam_box(prompts.box, shape, scale),
        None if mask is None else mask_logits(mask, side),
    )


def resize_scale(shape: tuple[int, int], side: int) -> NDArray[np.float64]:
    """(2,) resized pixels per slice pixel, down and across."""
    longest = side / max(shape)
    return np.array([max(1, int(n * longest + 0.5)) / n for n in shape])


def clipped(point: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
    return min(max(point[0], 0.0), shape[0] - 1.0), min(max(point[1], 0.0), shape[1] - 1.0)


def sam_box(box: FloatBox, shape: tuple[int, int], scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """(4,) x0, y0, x1, y1 whichever corners were given."""
    rows = np.clip(np.sort([box[0], box[2]]), 0, shape[0]) * scale[0]
    columns = np.clip(np.sort([box[1], box[3]]), 0, shape[1]) * scale[1]
    return np.array([columns[0], rows[0], columns[1], rows[1]], np.float32)


def sampled(stroke: Scribble) -> list[tuple[float, float]]:
    """Points evenly along the stroke, at most `STROKE_POINTS`."""
    points = np.array(stroke.points_rc, np.float64).reshape(-1, 2)
    if len(points) < 2:
        return [(float(r), float(c)) for r, c in points]
    steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.linspace(0, steps[-1], int(np.clip(steps[-1] // 4, 2, STROKE_POINTS)))
    rows, columns = (np.interp(at, steps, points[:, i]) for i in (0, 1))
    return [(float(r), float(c)) for r, c in zip(rows, columns, strict=True)]


def deepest(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The point of a mask farthest from its outside."""
    inside = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(inside)), mask.shape)
    return float(row), float(column)


def mask_logits(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(side/4, side/4) the mask as SAM's low-resolution logits; the padding is background."""
    quarter = side // 4
    h, w = (max(1, int(n * quarter / max(mask.shape) + 0.5)) for n in mask.shape)
    small = cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    logits = np.full((quarter, quarter), -CONFIDENT, np.float32)
    logits[:h, :w] = (2 * small - 1) * CONFIDENT
    return logits
