"""A volume as a graph: edge weights between neighbours, coarser copies, and the linear system of a random walk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, csr_array, diags_array

from learners.propagate.contract import RunControl

EDGE_FLOOR = 1e-4  # no edge is so strong that nothing passes
SMOOTH = 0.7  # voxels; the bell that takes noise off before edges are looked for
NEIGHBOURHOOD = 4  # voxels over which the usual step between neighbours is measured
MANY = 90_000  # voxels; in larger volumes the usual step is measured in blocks
TOLERANCE = 3e-3  # of a probability
MAX_STEPS = 300


@dataclass(frozen=True)
class System:
    """(matrix + diagonal) x = pull, for the unknown voxels of a grid in C order."""

    matrix: csr_array  # (N, N)
    diagonal: NDArray[np.float32]  # (N,)


class Edges:
    """How easily a walker passes between two neighbours: 0..1, less across a step in brightness.

    A step counts against what is usual around it, so that one setting serves CT, MRI and pictures, and both the
    bright and the dark end of a volume with uneven light. `smooth` (voxels) takes noise off, and blurs what is thin.
    """

    def __init__(
        self,
        image: NDArray[np.float32],
        spacing_mm: tuple[float, float, float],
        sharpness: float,
        smooth: float = SMOOTH,
    ) -> None:
        self.shape = image.shape
        self._smooth = _smoothed(image, smooth).ravel()
        self._usual = _usual(self._smooth.reshape(image.shape))
        self._near = [min(spacing_mm) / mm for mm in spacing_mm]
        self._sharpness = sharpness

    def weights(self, axis: int, here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.float32]:
        """(M,) for pairs of flat places that are neighbours along an axis."""
        step = self._smooth[there] - self._smooth[here]
        scale = self._usual[here] + self._usual[there]
        weight = np.exp(-2 * self._sharpness * step**2 / scale) + EDGE_FLOOR
        return (weight * self._near[axis]).astype(np.float32)


def _smoothed(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Noise taken off by a small bell; along an axis of one voxel nothing happens."""
    bell = cv2.getGaussianKernel(5, sigma, cv2.CV_32F)[:, 0]
    flat = [cv2.sepFilter2D(cut, cv2.CV_32F, bell, bell, borderType=cv2.BORDER_REPLICATE) for cut in image]
    cuts = np.pad(np.stack(flat), ((2, 2), (0, 0), (0, 0)), mode="edge")
    n = len(image)
    return np.stack([np.tensordot(bell, cuts[k : k + 5], 1) for k in range(n)])


def _usual(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M,) mean squared step between neighbours, half of here and half of the whole volume."""
    squared = np.zeros(smooth.shape, np.float32)
    for axis in range(3):
        squared[_from(axis, 0, -1)] += np.diff(smooth, axis=axis) ** 2
    block = NEIGHBOURHOOD if smooth.size > MANY else 1
    factor = (block, block, block)
    local = gaussian_filter(coarse_mean(squared, factor), NEIGHBOURHOOD / block)
    return finer(0.5 * local + 0.5 * float(squared.mean()) + 1e-12, factor, smooth.shape).ravel()


def _from(axis: int, start: int, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def coarse_mean(values: NDArray[np.float32], factor: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means over blocks; blocks at the end repeat the last voxels."""
    if factor == (1, 1, 1):
        return values
    pad = [(0, -n % f) for n, f in zip(values.shape, factor)]
    full = np.pad(values, pad, mode="edge") if any(p[1] for p in pad) else values
    (z, y, x), (fz, fy, fx) = full.shape, factor
    return full.reshape(z // fz, fz, y // fy, fy, x // fx, fx).mean((1, 3, 5), dtype=np.float32)


def finer(values: NDArray, factor: tuple[int, int, int], shape: tuple[int, ...]) -> NDArray:
    """Every value repeated over its block."""
    for axis, f in enumerate(factor):
        if f > 1:
            values = np.repeat(values, f, axis)
    return values[tuple(slice(n) for n in shape)]


def neighbours(free: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Per axis and direction: the flat places of unknown voxels that have a neighbour there, and of that neighbour."""
    places = np.flatnonzero(free)
    coordinates = np.unravel_index(places, free.shape)
    strides = (free.shape[1] * free.shape[2], free.shape[2], 1)
    for axis, (at, stride, n) in enumerate(zip(coordinates, strides, free.shape)):
        for inside, step in ((at < n - 1, stride), (at > 0, -stride)):
            yield axis, places[inside], places[inside] + step


def system_of(
    free: NDArray[np.bool_], edges: Edges, held: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> tuple[System, NDArray[np.float32]]:
    """The Laplacian over the free voxels and what the others around them pull towards, (N, K).

    `held` gives the (M, K) values of flat places that are not free.
    """
    n = np.count_nonzero(free)
    number = np.full(free.size, -1, np.int32)
    number[free.ravel()] = np.arange(n, dtype=np.int32)
    degree = np.zeros(n, np.float32)
    pull = np.zeros((n, held(np.zeros(0, np.int64)).shape[1]), np.float32)
    rows, columns, weights = [], [], []
    for axis, here, there in neighbours(free):
        weight = edges.weights(axis, here, there)
        row, column = number[here], number[there]
        degree[row] += weight  # each voxel has one neighbour a direction: no row comes twice
        known = column < 0
        pull[row[known]] += weight[known, None] * held(there[known])
        rows.append(row[~known])
        columns.append(column[~known])
        weights.append(-weight[~known])
    off = coo_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (n, n))
    return System(off.tocsr(), degree), pull


def solve(
    system: System, pull: NDArray[np.float32], start: NDArray[np.float32], run: RunControl
) -> tuple[NDArray[np.float32], bool, int]:
    """(N, K) solution, whether it is one, and the steps it took; best so far at the deadline."""
    matrix = (system.matrix + diags_array(system.diagonal)).tocsr()
    out, steps = start.astype(np.float32).T.copy(), 0
    for column, wanted in zip(out, np.ascontiguousarray(pull.T)):
        taken = _descend(matrix, system.diagonal, wanted, column, run)
        steps += abs(taken)
        if taken < 0:
            return out.T, False, steps
    return out.T, True, steps


def _descend(
    matrix: csr_array,
    diagonal: NDArray[np.float32],
    pull: NDArray[np.float32],
    x: NDArray[np.float32],
    run: RunControl,
) -> int:
    """Conjugate gradients, preconditioned by the diagonal, on x in place: steps taken, negative where time ran out."""
    rest = pull - matrix @ x
    z = rest / diagonal
    direction, size = z.copy(), float(rest @ z)
    for step in range(MAX_STEPS):
        if step % 3 == 0 and float(np.abs(z).max()) < TOLERANCE:
            return step
        run.check()
        if run.out_of_time:
            return -step - 1
        image = matrix @ direction
        alpha = np.float32(size / max(float(direction @ image), 1e-30))
        x += alpha * direction
        rest -= alpha * image
        np.divide(rest, diagonal, out=z)
        before, size = size, float(rest @ z)
        if size == 0:  # nothing is left to solve, and the next direction would be 0 / 0
            return step + 1
        direction *= np.float32(size / before)
        direction += z
    return MAX_STEPS
