"""From a refined map to a mask: boxes and points for the prompt model, and how far each pixel is trusted."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prompt import Embedding, PromptModel, Prompts
from storage.arrays import BACKGROUND, UNLABELLED

CUT = 0.5  # of a map: above it is object
QUIET = 0.25  # below it is background
BLUR = 21 / 256  # width of the Gaussian, of the slice's longer side
OBJECTS = 12  # pieces of one class that the prompt model is asked about
SMALL = 0.05  # of the largest piece: smaller ones are crumbs
ALIKE = 0.3  # IoU of a prompted mask with its piece from which on it is the same thing
BOTH, ONE, NOT_THERE = (
    0.9,
    0.35,
    0.6,
)  # trust where map and prompt model agree, where one says so, in the quiet


@dataclass(frozen=True)
class SliceGuess:
    """What a slice's tags came to: (H, W) label values, UNLABELLED where nothing is said, and trust of 255."""

    classes: NDArray[np.uint8]
    trust: NDArray[np.uint8]


def at_size(maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(K, h, w) maps of 0..1 at the slice's own size, blurred over what the walk could not see."""
    wide = max(3, int(BLUR * max(shape)) | 1)
    grown = [cv2.resize(m, shape[::-1], interpolation=cv2.INTER_LINEAR) for m in maps]
    return np.stack([cv2.GaussianBlur(m, (wide, wide), 0) for m in grown]).astype(np.float32)


def pieces(region: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """(H, W) connected pieces, the largest first, without crumbs."""
    count, number, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=4)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    order = [int(k) for k in np.argsort(-sizes)[:OBJECTS] if sizes[k] >= SMALL * sizes.max()]
    return [number == k + 1 for k in order] if count > 1 else []


def prompts_for(piece: NDArray[np.bool_], chance: NDArray[np.float32]) -> Prompts:
    """The piece's box, and a click where the map is highest in it."""
    rows, columns = np.flatnonzero(piece.any(1)), np.flatnonzero(piece.any(0))
    peak = np.unravel_index(int(np.argmax(np.where(piece, chance, -1))), piece.shape)
    return Prompts(
        points_rc=((float(peak[0]), float(peak[1])),),
        labels=(1,),
        box=(float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1)),
    )


def prompted(model: PromptModel, embedding: Embedding, chance: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W) what the prompt model makes of a class's map; a piece that it takes for something else stays as it is."""
    out = np.zeros(chance.shape, bool)
    for piece in pieces(chance > CUT):
        masks = model.predict(embedding, prompts_for(piece, chance)).masks
        fits = [_iou(mask, piece) for mask in masks]
        best = int(np.argmax(fits))
        out |= masks[best] if fits[best] >= ALIKE else piece
    return out


def guess_of(
    chances: NDArray[np.float32], masks: NDArray[np.bool_], values: tuple[int, ...], sure: NDArray[np.float32]
) -> SliceGuess:
    """From (K, H, W) maps and prompted masks of the classes `values`, and how sure (K,) the tags' reader is of each."""
    score = np.where(masks, 1.0, 0.0) + chances
    best = score.argmax(0)
    said = np.take_along_axis(masks, best[None], 0)[0]
    high = np.take_along_axis(chances, best[None], 0)[0] > CUT
    classes = np.full(best.shape, UNLABELLED, np.uint8)
    quiet = (chances < QUIET).all(0) & ~masks.any(0)
    classes[quiet] = BACKGROUND
    inside = said | high
    classes[inside] = np.array(values, np.uint8)[best[inside]]
    trust = np.where(quiet, NOT_THERE, np.where(said & high, BOTH, np.where(inside, ONE, 0.0)))
    trust = trust * np.where(quiet, sure.min(), sure[best])
    return SliceGuess(classes, np.round(trust * 255).astype(np.uint8))


def nothing_there(shape: tuple[int, int]) -> SliceGuess:
    """A slice on which people said that no class is."""
    return SliceGuess(np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
