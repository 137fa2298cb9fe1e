"""A predict message as the prompts that a model takes."""

import numpy as np

from annotator.protocol.frames import unpack_bits
from annotator.protocol.incoming import PixelBox, Points, PredictMessage
from models.prompt import FloatBox, Prompts, Scribble
from storage.arrays import Box


def prompts_of(message: PredictMessage, payload: bytes, shape: tuple[int, int]) -> Prompts:
    """`shape` of the slice, (rows, columns); `payload`: the mask to refine. Raises ValueError, BadFrame."""
    mask = None
    if message.mask_box is not None:
        box = box_within(message.mask_box, shape)
        mask = np.zeros(shape, np.bool_)
        mask[box.r0 : box.r1, box.c0 : box.c1] = unpack_bits(payload, box.shape)
    elif message.mend:
        raise ValueError("there is no proposal to mend in the question; Shift+click on it once more")
    outlines = [each.points for each in message.scribbles if each.closed and each.label and each.points]
    strokes = [each for each in message.scribbles if not (each.closed and each.label)]
    return Prompts(
        points_rc=message.points,
        labels=message.labels,
        box=message.box or (_around(outlines[-1]) if outlines else None),
        scribbles=tuple(Scribble(each.label, each.points) for each in strokes),
        mask=mask,
        view=message.view,
    )


def _around(points: Points) -> FloatBox:
    """An outline as a box, for models that know none."""
    rows, columns = ([point[n] for point in points] for n in (0, 1))
    return min(rows), min(columns), max(rows) + 1, max(columns) + 1


def box_within(box: PixelBox, shape: tuple[int, int]) -> Box:
    """Raises ValueError where it is not within a slice of (rows, columns)."""
    out = Box(*box)
    if out.r1 > shape[0] or out.c1 > shape[1]:
        raise ValueError("the mask reaches outside its slice; click again")
    return out
