"""What is mended in the class map of a whole image: holes filled, small pieces left out, or all but the largest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from storage.arrays import BACKGROUND


@dataclass(frozen=True)
class ClassTidying:
    """What is mended of one class, in this order."""

    fill: bool = False  # background that it encloses becomes it
    smallest: float = 0.0  # voxels, at the network's spacing, that a piece has at least
    largest: bool = False  # only the largest piece stays
    share: float = 0.0  # of the voxels of the largest piece, that a piece has at least

    @property
    def words(self) -> str:
        """For people; "" where nothing is mended."""
        parts = ["holes are filled"] if self.fill else []
        parts += ["small pieces are left out"] if self.smallest else []
        parts += ["only the largest piece stays"] if self.largest else []
        parts += ["what is far smaller than the largest piece is left out"] if self.share else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Tidying:
    """By class."""

    classes: Mapping[int, ClassTidying] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {str(number): asdict(what) for number, what in self.classes.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]]) -> "Tidying":
        """Raises ValueError, TypeError or AttributeError for what is none."""
        return cls(
            {
                int(number): ClassTidying(
                    bool(what.get("fill")),
                    float(what.get("smallest", 0)),
                    bool(what.get("largest")),
                    float(what.get("share", 0)),
                )
                for number, what in values.items()
            }
        )


def tidied(classes: NDArray[np.uint8], tidying: Tidying, scale: float = 1.0) -> NDArray[np.uint8]:
    """(Z, Y, X) label values, mended. `scale`: voxels of the image for each voxel of the network."""
    out = np.array(classes)
    for number, what in tidying.classes.items():
        box = _box(out == number)
        if box is not None:
            part = out[box]
            mask = part == number
            kept = tidied_mask(mask, part == BACKGROUND, what, scale)
            part[mask & ~kept] = BACKGROUND
            part[kept] = number
    return out


def tidied_mask(
    mask: NDArray[np.bool_], free: NDArray[np.bool_], what: ClassTidying, scale: float = 1.0
) -> NDArray[np.bool_]:
    """(Z, Y, X) a class mended; `free`: what it may take."""
    kept = mask
    if what.fill:
        kept = mask | (_filled(mask) & free)
    if not (what.smallest or what.largest or what.share):
        return kept
    pieces, count = ndimage.label(kept)
    if count == 0:
        return kept
    sizes = np.bincount(pieces.ravel())[1:]
    stay = (sizes >= what.smallest * scale) & (sizes >= what.share * sizes.max())
    if what.largest:
        stay &= np.arange(count) == sizes.argmax()
    return np.asarray(np.concatenate([[False], stay])[pieces], np.bool_)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A picture has no depth: every voxel of it would touch the border."""
    if mask.shape[0] == 1:
        return np.asarray(ndimage.binary_fill_holes(mask[0]), np.bool_)[None]
    return np.asarray(ndimage.binary_fill_holes(mask), np.bool_)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The part of the image that holds it; None for an empty one."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else None
