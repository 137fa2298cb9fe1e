"""A person who begins: clicks, boxes, scribbles and rough masks on a crop whose truth is known.

Clicks follow RITM (Sofiiuk et al., 2021), scribbles ScribblePrompt (Wong et al., 2024): a line between two points of
the region, its broken centreline or its broken contour, each bent a little.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from models.clicknet.inputs import STROKE, draw_box, draw_clicks

BoolMask = NDArray[np.bool_]
POSITIVE, NEGATIVE, BOX, LAST = range(4)  # maps of a board


def new_board(size: int) -> NDArray[np.float32]:
    """(4, size, size) empty prompt maps."""
    return np.zeros((4, size, size), np.float32)


def first_prompts(rng: Generator, board: NDArray[np.float32], truth: BoolMask, *, telling: bool) -> None:
    """Start in place: a click, a box, a scribble or a rough mask. `telling` asks for more than a single click."""
    kind = rng.choice(4, p=(0, 0.5, 0.25, 0.25) if telling else (0.52, 0.26, 0.1, 0.12))
    if kind == 0:
        click(rng, board[POSITIVE], truth)
    elif kind == 1:
        add_box(rng, board[BOX], truth)
        if rng.random() < 0.3:
            click(rng, board[POSITIVE], truth)
    elif kind == 2:
        scribble(rng, board[POSITIVE], truth)
    else:
        board[LAST] = rough(rng, truth)
        click(rng, board[POSITIVE], truth)
    for _ in range(rng.choice(4, p=(0.7, 0.15, 0.1, 0.05))):
        click(rng, board[NEGATIVE], ring(truth, 1 + int(rng.integers(4, 24))))
    for _ in range(rng.choice(3, p=(0.75, 0.15, 0.1))):
        click(rng, board[POSITIVE], truth)


def click(rng: Generator, canvas: NDArray[np.float32], region: BoolMask) -> None:
    """Deepest point, a point by depth, or any point of the region; nothing where the region is empty."""
    distance = depth(region)
    if distance.max() > 0:
        _click_at(rng, canvas, distance)


def _click_at(rng: Generator, canvas: NDArray[np.float32], distance: NDArray[np.float32]) -> None:
    kind = rng.random()
    if kind < 0.45:
        at = int(distance.argmax())
    else:
        weight = (distance if kind < 0.85 else distance > 0).reshape(-1).astype(np.float64)
        at = min(int(np.searchsorted(weight.cumsum(), rng.random() * weight.sum())), weight.size - 1)
    draw_clicks(canvas, [divmod(at, canvas.shape[1])])


def depth(region: BoolMask) -> NDArray[np.float32]:
    """Distance of every pixel of the region to its border, 0 outside; the crop's edge is a border."""
    padded = np.pad(region.view(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5), np.float32)[1:-1, 1:-1]


def ring(truth: BoolMask, width: int) -> BoolMask:
    """What surrounds the object."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return (cv2.dilate(truth.view(np.uint8), kernel) > 0) & ~truth


def add_box(rng: Generator, canvas: NDArray[np.float32], truth: BoolMask) -> None:
    """The bounding box, its sides moved by up to a tenth, seldom more."""
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    if not len(rows):
        return
    r0, r1, c0, c1 = rows[0], rows[-1], columns[0], columns[-1]
    spread = 0.04 if rng.random() < 0.8 else 0.1
    move = rng.normal(0, spread, 4) * np.array([r1 - r0, c1 - c0, r1 - r0, c1 - c0])
    draw_box(canvas, np.array([r0, c0, r1, c1]) + np.clip(move, -8, 8))


def scribble(rng: Generator, canvas: NDArray[np.float32], region: BoolMask) -> None:
    """One of the three kinds of scribble inside the region, in place; a click where none fits."""
    kind = rng.integers(3)
    stroke = (_line, _centreline, _contour)[kind](rng, region)
    stroke = _bend(rng, stroke) & region
    if not stroke.any():
        click(rng, canvas, region)
        return
    thick = cv2.dilate(stroke.view(np.uint8), np.ones((STROKE, STROKE), np.uint8))
    np.maximum(canvas, thick, out=canvas)


def _line(rng: Generator, region: BoolMask) -> BoolMask:
    points = np.argwhere(region)
    stroke = np.zeros(region.shape, np.uint8)
    for _ in range(rng.choice((1, 2, 3), p=(0.6, 0.3, 0.1)) if len(points) else 0):
        (r0, c0), (r1, c1) = points[rng.integers(len(points), size=2)]
        cv2.line(stroke, (int(c0), int(r0)), (int(c1), int(r1)), 1, 1)
    return stroke > 0


def _centreline(rng: Generator, region: BoolMask) -> BoolMask:
    return np.asarray(skeletonize(region) & _broken(rng, region.shape))


def _contour(rng: Generator, region: BoolMask) -> BoolMask:
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), rng.uniform(2, 8))
    level = rng.uniform(0.3, 0.9) * soft.max()
    inner = ((soft > level) & region).view(np.uint8)
    edge = inner - cv2.erode(inner, np.ones((3, 3), np.uint8))
    return np.asarray(edge > 0) & _broken(rng, region.shape)


def _broken(rng: Generator, shape: tuple[int, ...]) -> BoolMask:
    noise = smooth_noise(rng, shape, rng.uniform(4, 16))
    return noise > np.quantile(noise, rng.uniform(0.2, 0.6))


def _bend(rng: Generator, stroke: BoolMask) -> BoolMask:
    size, reach = rng.uniform(4, 16), rng.uniform(1, 6)
    h, w = stroke.shape
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    shift = [smooth_noise(rng, stroke.shape, size) * np.float32(reach) for _ in range(2)]
    return cv2.remap(stroke.view(np.uint8), columns + shift[0], rows + shift[1], cv2.INTER_NEAREST) > 0


def smooth_noise(rng: Generator, shape: tuple[int, ...], size: float) -> NDArray[np.float32]:
    """Noise of unit spread whose features are about `size` pixels wide."""
    h, w = shape[:2]
    coarse = rng.standard_normal((max(3, round(h / size) + 2), max(3, round(w / size) + 2)), np.float32)
    noise = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise / (noise.std() + np.float32(1e-3)), np.float32)


def rough(rng: Generator, truth: BoolMask) -> NDArray[np.float32]:
    """The truth as a coarse pass or a hasty hand would leave it: soft, shifted, grown, bitten."""
    size = truth.shape[0]
    blurred = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), rng.uniform(1, 0.05 * size))
    soft = np.asarray(blurred, np.float32)
    soft += smooth_noise(rng, truth.shape, rng.uniform(6, 32)) * np.float32(rng.uniform(0.02, 0.25))
    shift = np.array([[1, 0, rng.normal(0, 2)], [0, 1, rng.normal(0, 2)]])
    soft = np.asarray(cv2.warpAffine(soft, shift, truth.shape[::-1]), np.float32)
    sharp = 1 / (1 + np.exp(-(soft - rng.uniform(0.35, 0.65)) * rng.uniform(6, 30)))
    return np.asarray(sharp * (sharp > 0.1), np.float32)
