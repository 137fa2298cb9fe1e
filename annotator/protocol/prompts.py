"""A predict message as the prompts that a model takes."""

import numpy as np

from annotator.protocol.frames import unpack_bits
from annotator.protocol.incoming import PixelBox, PredictMessage
from models.prompt import Prompts, Scribble
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
    return Prompts(
        points_rc=message.points,
        labels=message.labels,
        box=message.box,
        scribbles=tuple(Scribble(each.label, each.points) for each in message.scribbles),
        mask=mask,
        view=message.view,
    )


def box_within(box: PixelBox, shape: tuple[int, int]) -> Box:
    """Raises ValueError where it is not within a slice of (rows, columns)."""
    out = Box(*box)
    if out.r1 > shape[0] or out.c1 > shape[1]:
        raise ValueError("the mask reaches outside its slice; click again")
    return out
