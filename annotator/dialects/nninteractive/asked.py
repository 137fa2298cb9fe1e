"""What the clients ask, checked."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from annotator.dialects.nninteractive.drawing import Bounds
from annotator.dialects.volume_masks import VoxelIndex

LONGEST_META = 1 << 16
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Pair = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Three = Annotated[list[Pair], Field(min_length=3, max_length=3)]
Side = Annotated[int, Field(ge=1, le=1 << 31)]


class PromptAsked(BaseModel):
    include_interaction: bool = True
    run_prediction: bool = True


class PointAsked(PromptAsked):
    coordinates: Annotated[list[Coordinate], Field(min_length=3, max_length=3)]


class BoxAsked(PromptAsked):
    bbox_coords: Three


class MaskAsked(PromptAsked):
    interaction_bbox: Three | None = None


class Buffer(BaseModel):
    shape: Annotated[list[Side], Field(min_length=3, max_length=3)]
    dtype: Literal[
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
    ] = "uint8"


def mask_asked(header: str | None) -> MaskAsked:
    """Raises ValueError."""
    try:
        return MaskAsked.model_validate(told_in(header))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ValueError(f"the {where} of the header X-Meta is wrong: {error.errors()[0]['msg']}") from None


def told_in(header: str | None) -> dict[str, Any]:
    """Raises ValueError."""
    if not header:
        return {}
    try:
        found = json.loads(header) if len(header) <= LONGEST_META else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("the header X-Meta is no JSON object; send one")
    return found


def voxel_of(coordinates: Sequence[float], shape: tuple[int, int, int]) -> VoxelIndex:
    z, y, x = (round(v) for v in coordinates)
    if not all(0 <= v < n for v, n in zip((z, y, x), shape, strict=True)):
        raise ValueError("a point lies outside the image; click inside it")
    return z, y, x


def bounds_of(pairs: Sequence[Sequence[float]], shape: tuple[int, int, int]) -> Bounds:
    """Half-open, within the image. Raises ValueError where nothing is left."""
    ends = []
    for (one, other), n in zip(pairs, shape, strict=True):
        low, high = sorted((round(one), round(other)))
        ends.append((max(0, low), min(n, max(high, low + 1))))
    if any(low >= high for low, high in ends):
        raise ValueError("a box lies outside the image; draw it inside")
    return ends[0], ends[1], ends[2]


def whole_mask(part: NDArray[Any], bounds: Bounds | None, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """(Z, Y, X) of a part that was drawn on."""
    if bounds is None:
        return part > 0
    out = np.zeros(shape, np.bool_)
    out[tuple(slice(low, high) for low, high in bounds)] = part > 0
    return out
