"""Propagation by registration: how each slice moves into the next one tells where its outlines go.

`flow` uses OpenCV's dense inverse search (T. Kroeger et al., ECCV 2016), milliseconds for a pair of slices; `demons`
uses SimpleITK's fast symmetric demons (T. Vercauteren et al., NeuroImage 2009), slower and smoother. What pulls the
random walker are a few steps of the same demons, written with OpenCV's filters: as fast as `flow`.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from learners.propagate.contract import PropagationInput, PropagationResult, RunControl, as_bytes
from learners.propagate.slice_to_slice import Mover, SignedDistance, carried, carry

SMALLEST = 32  # pixels; the search needs a picture of this size
DEMONS_STEPS = 30
DEMONS_SMOOTH = 1.5  # pixels
FEW_STEPS = 10  # as good for a pull as thirty
FEW_BLUR = 0.7  # pixels: else noise is registered with noise

Field = NDArray[
    np.float32
]  # (rows, columns, 2): for each pixel of a slice where in the other it came from, (x, y)
Register = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Field]  # (to, from) -> displacements in pixels


def flow(case: PropagationInput, run: RunControl) -> PropagationResult:
    """Optical flow between neighbouring slices."""
    return carry(case, run, _movers(case, _inverse_search()))


def demons(case: PropagationInput, run: RunControl) -> PropagationResult:
    """Deformable registration of neighbouring slices."""
    return carry(case, run, _movers(case, _demons))


def chances(case: PropagationInput, run: RunControl) -> Iterator[NDArray[np.float32]]:
    """The probability of each class on its own, by a few steps of demons."""
    return carried(case, run, _movers(case, _few_demons))


def _movers(case: PropagationInput, register: Register) -> Callable[[PropagationInput, int], Mover]:
    pixels = as_bytes(case.image)
    return lambda case, axis: _mover(np.moveaxis(pixels, axis, 0), register)


def _inverse_search() -> Register:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((0, 0), np.float32)
    return lambda to, source: np.asarray(search.calc(to, source, still), np.float32)


def _mover(slices: NDArray[np.uint8], register: Register) -> Mover:
    """Moves outlines along one axis; each pair of slices is registered once for all classes."""
    fields: dict[tuple[int, int], Field] = {}

    def move(score: SignedDistance, k: int, to: int) -> SignedDistance:
        if (k, to) not in fields:
            fields[k, to] = _registered(slices[to], slices[k], register)
        return _moved(score, _places(score.shape) + fields[k, to])

    return move


def _moved(picture: NDArray[np.float32], places: Field) -> NDArray[np.float32]:
    """What the picture shows at other (x, y) places."""
    x, y = places[..., 0], places[..., 1]
    moved = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _places(shape: tuple[int, ...]) -> Field:
    """Where the pixels of a slice are, (x, y)."""
    rows, columns = np.indices(shape, np.float32)
    return np.stack([columns, rows], -1)


def _registered(to: NDArray[np.uint8], source: NDArray[np.uint8], register: Register) -> Field:
    """As `register`, for slices of any size."""
    rows, columns = to.shape
    down, across = max(0, SMALLEST - rows), max(0, SMALLEST - columns)
    pads = (down // 2, down - down // 2), (across // 2, across - across // 2)
    padded = (np.ascontiguousarray(np.pad(s, pads, mode="edge")) for s in (to, source))
    field = register(*padded)
    return field[pads[0][0] : pads[0][0] + rows, pads[1][0] : pads[1][0] + columns].copy()


def _demons(to: NDArray[np.uint8], source: NDArray[np.uint8]) -> Field:
    import SimpleITK as sitk

    fixed, moving = (sitk.GetImageFromArray(s.astype(np.float32)) for s in (to, source))
    method = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    method.SetNumberOfIterations(DEMONS_STEPS)
    method.SetSmoothDisplacementField(True)
    method.SetStandardDeviations(DEMONS_SMOOTH)
    return sitk.GetArrayFromImage(method.Execute(fixed, moving)).astype(np.float32)


def _few_demons(to: NDArray[np.uint8], source: NDArray[np.uint8]) -> Field:
    fixed, moving = (_smooth(picture.astype(np.float32), FEW_BLUR) for picture in (to, source))
    places, field, slope = _places(to.shape), np.zeros((*to.shape, 2), np.float32), _slope(fixed)
    for _ in range(FEW_STEPS):
        moved = _moved(moving, places + field)
        force, miss = slope + _slope(moved), fixed - moved  # forces of both pictures: symmetric
        push = 2 * miss / ((force**2).sum(-1) + miss**2 + 1e-3)
        field += push[..., None] * force
        field = _smooth(field, DEMONS_SMOOTH)
    return field


def _smooth(values: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(values, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _slope(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns, 2) change for each pixel to the right and down."""
    ways = ((1, 0), (0, 1))
    return np.stack([cv2.Sobel(picture, cv2.CV_32F, *way, ksize=1, scale=0.5) for way in ways], -1)
