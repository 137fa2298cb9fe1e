"""From a map of scores to objects: which are there at all, and where the prompt model sees their borders."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from models.prompt import Embedding, PromptModel, Prompts, tighter

MIN_AREA = 0.1  # of the typical object
APART = 0.35  # typical diameters between two peaks of one piece
# IoU with the piece, and the model's own estimate, from which on its mask is taken
MIN_IOU, MIN_ESTIMATE = 0.4, 0.5
TIGHTER = (0.06, 0.12)  # of a piece's height and width, taken off each side
FEW = 10  # pieces of a slice on which that is tried, large and small ones
MAX_OBJECTS = 60  # objects of a slice that are asked about, the largest first
INSIDE, OUTSIDE = 0.25, -0.05  # scores of what the mask adds to a piece and takes from it
SURE = 0.3  # of the peak that the references' own objects usually have


@dataclass(frozen=True)
class Piece:
    """A connected part of the map above 0."""

    mask: NDArray[np.bool_]  # (H, W)
    peak: float
    at: tuple[int, int]  # (row, column) of the peak


@dataclass(frozen=True)
class Answered:
    """A mask of the prompt model for a piece, how like it (IoU), and the model's own estimate."""

    mask: NDArray[np.bool_]  # (H, W)
    like: float
    score: float


def pieces_of(scores: NDArray[np.float32], diameter: float) -> list[Piece]:
    """Largest first; what touches is cut between its peaks, what is far too small for an object is left out."""
    inside = (scores > 0).astype(np.uint8)
    numbers = _cut(inside, diameter)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    found = []
    for number in np.argsort(-sizes, kind="stable"):
        if sizes[number] < max(4.0, MIN_AREA * diameter**2):
            break
        mask = numbers == number
        at = np.unravel_index(int(np.where(mask, scores, -np.inf).argmax()), scores.shape)
        found.append(Piece(mask, float(scores[at]), (int(at[0]), int(at[1]))))
    return found


def gate_of(peaks: Sequence[float]) -> float:
    """The peak from which on a piece counts, from those of the references' own objects."""
    return SURE * float(np.median(peaks)) if len(peaks) else 0.0


def only_above(scores: NDArray[np.float32], pieces: Sequence[Piece], gate: float) -> NDArray[np.float32]:
    """Scores with every piece whose peak is below the gate put down, and specks with them: "not here"."""
    keep = np.zeros(scores.shape, bool)
    for piece in pieces:
        if piece.peak >= gate:
            keep |= piece.mask
    return np.where((scores > 0) & ~keep, np.minimum(scores, OUTSIDE), scores).astype(np.float32)


def refined(
    scores: NDArray[np.float32], pieces: Sequence[Piece], model: PromptModel, picture: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Scores whose pieces have the borders that the prompt model sees, where it agrees that this is an object."""
    out, asked = scores.copy(), pieces[:MAX_OBJECTS]
    for piece, answer in zip(asked, _answers(asked, model, model.encode(picture)), strict=True):
        if answer.like >= MIN_IOU and answer.score >= MIN_ESTIMATE:
            out[piece.mask & ~answer.mask] = np.minimum(out[piece.mask & ~answer.mask], OUTSIDE)
            out[answer.mask] = np.maximum(out[answer.mask], INSIDE)
    return out


def _answers(pieces: Sequence[Piece], model: PromptModel, embedding: Embedding) -> list[Answered]:
    """One for each piece. A few are also asked for by tighter boxes, as long as the model expects more of its masks,
    and all others in the way that did best: on some pictures the pieces of the map are larger than what they show.
    """
    few = range(0, len(pieces), max(1, math.ceil(len(pieces) / FEW)))
    share, best = 0.0, {n: _asked(pieces[n], 0.0, model, embedding) for n in few}
    for less in TIGHTER if best else ():
        closer = {n: _asked(pieces[n], less, model, embedding) for n in few}
        if _expected(closer) < _expected(best):
            break
        share, best = less, closer
    return [best.get(n) or _asked(piece, share, model, embedding) for n, piece in enumerate(pieces)]


def _expected(answers: Mapping[int, Answered]) -> float:
    return float(np.mean([answer.score for answer in answers.values()]))


def _asked(piece: Piece, share: float, model: PromptModel, embedding: Embedding) -> Answered:
    """The candidate most like the piece, asked for by its peak and its box, tighter by this share."""
    rows, columns = np.flatnonzero(piece.mask.any(1)), np.flatnonzero(piece.mask.any(0))
    box = tighter((float(rows[0]), float(columns[0]), float(rows[-1]), float(columns[-1])), share)
    at = (float(piece.at[0]), float(piece.at[1]))
    answer = model.predict(embedding, Prompts(points_rc=(at,), labels=(1,), box=box))
    like = [float((m & piece.mask).sum() / max(1, (m | piece.mask).sum())) for m in answer.masks]
    best = int(np.argmax(like))
    return Answered(answer.masks[best], like[best], float(answer.scores[best]))


def _cut(inside: NDArray[np.uint8], diameter: float) -> NDArray[np.int32]:
    """(H, W) number of each piece, 0 outside."""
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    reach = 2 * max(1, round(APART * diameter)) + 1
    smooth = cv2.GaussianBlur(deep, (0, 0), max(0.5, diameter / 16))
    top = cv2.dilate(smooth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    peaks = ((smooth >= top) & (inside > 0)).astype(np.uint8)
    _, seeds = cv2.connectedComponents(peaks)
    return np.asarray(watershed(-smooth, seeds, mask=inside > 0), np.int32)
