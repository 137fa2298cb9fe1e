"""A predict message as the prompts that a model takes."""

import numpy as np

from annotator.protocol.frames import unpack_bits
from annotator.protocol.incoming import PredictMessage
from models.prompt import Prompts, Scribble
from storage.arrays import Box


def prompts_of(message: PredictMessage, payload: bytes, shape: tuple[int, int]) -> Prompts:
    """`shape` of the slice, (rows, columns); `payload`: the mask to refine. Raises ValueError, BadFrame."""
    mask = None
    if message.mask_box is not None:
        box = Box(*message.mask_box)
        if box.r1 > shape[0] or box.c1 > shape[1]:
            raise ValueError("the mask to refine reaches outside its slice; click again")
        mask = np.zeros(shape, np.bool_)
        mask[box.r0 : box.r1, box.c0 : box.c1] = unpack_bits(payload, box.shape)
    return Prompts(
        points_rc=message.points,
        labels=message.labels,
        box=message.box,
        scribbles=tuple(Scribble(each.label, each.points) for each in message.scribbles),
        mask=mask,
        view=message.view,
    )
