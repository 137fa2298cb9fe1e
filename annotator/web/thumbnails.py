"""Small pictures of slices, as the grid of tags shows them."""

import io

import cv2
import numpy as np
from PIL import Image

from annotator.windowing import to_rgb
from storage.arrays import SliceRef, plane
from storage.store import Store

SIDE = 224  # pixels of the longer side, enough for twice the tile on a dense screen
GROW = 4  # times at most: a slice of 35 pixels is no picture of 224


def thumbnail(store: Store, ref: SliceRef) -> bytes:
    """A WebP file in the image's own window. Raises LookupError, TornFile."""
    row = store.image(ref.image_id)
    if ref.index >= row.shape[ref.axis]:
        raise LookupError(f"image {ref.image_id} has no slice {ref.index} along axis {ref.axis}")
    part = plane(store.pixels(ref.image_id), ref.axis, ref.index)
    step = max(1, max(part.shape[:2]) // (8 * SIDE))  # of a huge slice every so many pixels
    seen = to_rgb(np.ascontiguousarray(part[::step, ::step]), row.window)
    scale = min(GROW, SIDE / max(seen.shape[:2]))
    size = (max(1, round(seen.shape[1] * scale)), max(1, round(seen.shape[0] * scale)))
    small = cv2.resize(seen, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    out = io.BytesIO()
    Image.fromarray(np.asarray(small, np.uint8)).save(out, "WEBP", quality=82, method=2)
    return out.getvalue()
