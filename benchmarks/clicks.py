"""The simulated annotator of the prompt benchmark: clicks by the RITM rule, sampled clicks, boxes and scribbles.

Masks are what a model shows, so RITM's threshold of 0.49 on probabilities is each model's own.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.prompt_cases import PromptCase
from models.prompt import Prompts, Scribble


def iou(mask: NDArray[np.bool_], case: PromptCase) -> float:
    """Overlap with the truth over what is not to be ignored; nothing against nothing is whole."""
    mask, truth = _counted(mask, case), _counted(case.truth, case)
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def dice(mask: NDArray[np.bool_], case: PromptCase) -> float:
    """As `iou`, by Dice's measure."""
    share = iou(mask, case)
    return 2 * share / (1 + share)


def _counted(mask: NDArray[np.bool_], case: PromptCase) -> NDArray[np.bool_]:
    return mask if case.ignore is None else mask & ~case.ignore


def depth(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) distance of every pixel to the outside of the region; beyond the picture is outside."""
    padded = np.pad(region.astype(np.uint8), 1)
    found = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found[1:-1, 1:-1], np.float32)


def next_click(
    prompts: Prompts, mask: NDArray[np.bool_], case: PromptCase, rng: np.random.Generator | None = None
) -> Prompts | None:
    """One more click in the deeper error region: its deepest point, or drawn by depth where `rng` is given.

    RITM's rule: positive only where the missed part is deeper; of equally deep points the first in raster order; no
    place twice; what is to be ignored is no error. None where nothing is wrong any more.
    """
    counted = True if case.ignore is None else ~case.ignore
    missed, wrong = depth(case.truth & ~mask & counted), depth(mask & ~case.truth & counted)
    for row, column in prompts.points_rc:
        missed[int(row), int(column)] = wrong[int(row), int(column)] = 0
    positive = missed.max() > wrong.max()
    field = missed if positive else wrong
    if field.max() <= 0:
        return None
    flat = int(np.argmax(field))
    if rng is not None:
        chances = field.ravel() / field.sum(dtype=np.float64)
        flat = int(rng.choice(field.size, p=chances / chances.sum()))
    row, column = divmod(flat, mask.shape[1])
    return replace(
        prompts,
        points_rc=(*prompts.points_rc, (float(row), float(column))),
        labels=(*prompts.labels, int(positive)),
    )


def box_of(truth: NDArray[np.bool_]) -> Prompts:
    """The tight box, half-open as everywhere."""
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    return Prompts(
        box=(float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1)),
    )


def line_scribble(region: NDArray[np.bool_], label: int, rng: np.random.Generator) -> Scribble:
    """A bent line between two points of the region, cut to the longest part inside it."""
    rows, columns = np.nonzero(region)
    a, b = rng.integers(len(rows), size=2)
    t = np.linspace(0, 1, 64)[:, None]
    ends = np.array([[rows[a], columns[a]], [rows[b], columns[b]]], float)
    bend = np.sin(np.pi * t) * rng.normal(0, 0.08 * np.hypot(*(ends[1] - ends[0])), 2)
    line = np.clip(ends[0] * (1 - t) + ends[1] * t + bend, 0, np.array(region.shape) - 1)
    inside = region[tuple(np.round(line).astype(int).T)]
    runs = np.split(np.arange(64), np.flatnonzero(np.diff(inside)) + 1)
    best = max((run for run in runs if inside[run[0]]), key=len)
    return Scribble(label, tuple((float(r), float(c)) for r, c in line[best]))


def scribbles_of(truth: NDArray[np.bool_], rng: np.random.Generator) -> Prompts:
    """Two positive lines in the object and one negative line just around it."""
    ring = 2 * int(np.sqrt(truth.sum())) // 3 + 3
    around = cv2.dilate(truth.astype(np.uint8), np.ones((ring, ring), np.uint8)).astype(bool)
    outside = around & ~cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    lines = [line_scribble(truth, 1, rng), line_scribble(truth, 1, rng)]
    if outside.any():
        lines.append(line_scribble(outside, 0, rng))
    return Prompts(scribbles=tuple(lines))


def corrected_scribbles(
    prompts: Prompts, mask: NDArray[np.bool_], case: PromptCase, rng: np.random.Generator
) -> Prompts:
    """One more line in the larger error region; as they are where nothing is wrong any more."""
    counted = True if case.ignore is None else ~case.ignore
    missed, wrong = case.truth & ~mask & counted, mask & ~case.truth & counted
    positive = np.count_nonzero(missed) >= np.count_nonzero(wrong)
    region = missed if positive else wrong
    if not region.any():
        return prompts
    return replace(prompts, scribbles=(*prompts.scribbles, line_scribble(region, int(positive), rng)))
