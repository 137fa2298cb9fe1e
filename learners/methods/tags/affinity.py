"""Prompt affinity: pixels that a prompt model puts into the same masks belong together, and a map walks among them.

WeakMedSAM's PAM: a grid of clicks on the slice, one encoding for all of them; at 64 x 64 pixels neighbours within
five pixels are alike as far as the same clicks answer for both, and the activation map takes a few random steps along
this likeness. The grid covers the whole slice (the published code puts every click into its first 16 pixels).
"""

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from models.prompt import Embedding, PromptModel, Prompts

GRID = 4  # clicks along each side
SIDE = 64  # pixels along each side that the walk is done on
RADIUS = 5
BETA = 4.0
STEPS = 4


def grid_points(shape: tuple[int, int], count: int = GRID) -> list[tuple[float, float]]:
    """(row, column) of count x count clicks in the middles of equal cells."""
    return [
        ((i + 0.5) * shape[0] / count - 0.5, (j + 0.5) * shape[1] / count - 0.5)
        for i, j in product(range(count), repeat=2)
    ]


def responses(model: PromptModel, embedding: Embedding, count: int = GRID) -> NDArray[np.uint8]:
    """(count * count, SIDE, SIDE) how much of each pixel, of 255, every click's best mask covers."""
    out = []
    for point in grid_points(embedding.shape, count):
        mask = model.predict(embedding, Prompts(points_rc=(point,), labels=(1,))).mask
        out.append(cv2.resize(mask.astype(np.uint8) * 255, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return np.asarray(out, np.uint8)


def transition(answers: NDArray, radius: int = RADIUS, beta: float = BETA) -> csc_array:
    """(h w, h w) columns sum to 1. `answers` (P, h, w) in 0..255; likeness exp(-sum |difference|) to the power beta."""
    count, h, w = answers.shape
    values = answers.astype(np.float32) / 255
    place = np.arange(h * w).reshape(h, w)
    rows, columns, weights = [], [], []
    for dr, dc in product(range(-radius, radius + 1), repeat=2):
        if dr * dr + dc * dc > radius * radius or abs(dr) >= h or abs(dc) >= w:
            continue
        a = (slice(max(0, dr), h + min(0, dr)), slice(max(0, dc), w + min(0, dc)))
        b = (slice(max(0, -dr), h + min(0, -dr)), slice(max(0, -dc), w + min(0, -dc)))
        apart = np.abs(values[:, *a] - values[:, *b]).sum(0)
        rows.append(place[a].ravel())
        columns.append(place[b].ravel())
        weights.append(np.exp(-beta * apart).ravel())
    matrix = csc_array(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(h * w, h * w)
    )
    sums = np.asarray(matrix.sum(0)).ravel()
    return (matrix @ csc_array((1 / sums, (np.arange(h * w),) * 2), shape=matrix.shape)).tocsc()


def walk(maps: NDArray[np.float32], steps_along: csc_array, steps: int = STEPS) -> NDArray[np.float32]:
    """(K, h, w) after so many steps, each spread over 0..1 again; no step changes nothing."""
    out = maps
    for _ in range(steps):
        flat = out.reshape(len(out), -1).T
        out = spread((steps_along @ flat).T.reshape(maps.shape))
    return out


def spread(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, h, w) each moved and stretched to 0..1; a flat one becomes zeros."""
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return ((maps - low) / np.maximum(high - low, 1e-6)).astype(np.float32)


def at_side(maps: NDArray[np.float32], side: int = SIDE) -> NDArray[np.float32]:
    """(K, h, w) maps seen at (K, side, side), each stretched to 0..1."""
    return spread(np.stack([cv2.resize(m, (side, side), interpolation=cv2.INTER_LINEAR) for m in maps]))
