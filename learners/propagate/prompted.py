"""Propagation by a prompt model: each slice's mask becomes the prompt for the next slice."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import Method, PropagationInput, PropagationResult, RunControl, as_bytes
from learners.propagate.distances import in_plane, signed_distance
from learners.propagate.slice_to_slice import Mover, SignedDistance, carry
from models import PromptChoice, opened
from models.prompt import Embedding, MaskPrediction, PromptModel, Prompts

MARGIN = 0.05  # of the box around a mask: an object may grow a little from slice to slice
LIKE = 0.6  # Dice with the mask before; what is less like it is another object


@lru_cache(maxsize=1)  # a worker fills many times; loading a SAM takes seconds
def still_open(choice: PromptChoice) -> PromptModel:
    """The project's prompt model. Raises ValueError where it is not here, each time anew: a fill by another one would
    not be what was chosen, and its file may come meanwhile."""
    try:
        return opened(choice)
    except (OSError, ValueError, LookupError, ImportError) as error:
        raise ValueError(f"{error}; choose another propagator or prompt model") from error


def prompted(load: Callable[[], PromptModel]) -> Method:
    """The propagator of a prompt model. Costs one encoding a slice and axis, and one prediction a class and slice."""

    def propagate(case: PropagationInput, run: RunControl) -> PropagationResult:
        model, pixels = load(), as_bytes(case.image)
        return carry(
            case,
            run,
            lambda case, axis: _mover(model, np.moveaxis(pixels, axis, 0), in_plane(case.spacing_mm, axis)),
        )

    return propagate


def _mover(model: PromptModel, slices: NDArray[np.uint8], spacing: tuple[float, float]) -> Mover:
    """Moves outlines along one axis; each slice is encoded once for all classes and both directions."""
    encoded: dict[int, Embedding] = {}

    def move(score: SignedDistance, k: int, to: int) -> SignedDistance:
        if to not in encoded:
            encoded[to] = model.encode(np.repeat(slices[to][..., None], 3, 2))
        mask = score > 0
        best = _most_alike(model.predict(encoded[to], _prompts(mask)), mask)
        return score if best is None else signed_distance(best, spacing)

    return move


def _prompts(mask: NDArray[np.bool_]) -> Prompts:
    """A box around the mask and a click on its deepest pixel."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    grow = 1 + MARGIN * max(np.ptp(rows), np.ptp(columns))
    h, w = mask.shape
    box = (
        max(0, rows[0] - grow),
        max(0, columns[0] - grow),
        min(h, rows[-1] + grow),
        min(w, columns[-1] + grow),
    )
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    r0, c0, r1, c1 = (float(v) for v in box)
    return Prompts(points_rc=((float(row), float(column)),), labels=(1,), box=(r0, c0, r1, c1))


def _most_alike(answer: MaskPrediction, mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The candidate that is most like the mask before; None where all are something else."""
    likeness = [2 * (m & mask).sum() / max(m.sum() + mask.sum(), 1) for m in answer.masks]
    best = int(np.argmax(likeness))
    return answer.masks[best] if likeness[best] >= LIKE else None
