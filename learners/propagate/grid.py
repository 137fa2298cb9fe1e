"""A volume as a graph: edge weights between neighbours, coarser copies, and the linear system of a random walk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, csr_array, diags_array

from learners.propagate.case import Run

EDGE_FLOOR = 1e-4  # no edge is so strong that nothing passes
SMOOTH = 0.7  # voxels
NEIGHBOURHOOD = 4.0  # voxels over which the usual step between neighbours is measured
Edges = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class System:
    """(matrix + diagonal) x = pull, for the unknown voxels of a grid in C order."""

    matrix: csr_array  # (N, N)
    diagonal: NDArray[np.float32]  # (N,)


def edges_of(image: NDArray[np.float32], spacing_mm: tuple[float, float, float], sharpness: float) -> Edges:
    """Weights 0..1 of the edges along each axis, one fewer than voxels there.

    A step counts against what is usual around it, so that one setting serves CT, MRI and pictures, and both the
    bright and the dark end of a volume with uneven light.
    """
    smooth = gaussian_filter(image, SMOOTH)
    steps = [np.diff(smooth, axis=a) for a in range(3)]
    usual = _usual(steps, image.shape)
    near = min(spacing_mm)
    out = []
    for axis, (step, mm) in enumerate(zip(steps, spacing_mm)):
        scale = _pairs(usual, axis)
        weight = np.exp(-sharpness * step**2 / scale) + EDGE_FLOOR
        out.append((weight * (near / mm)).astype(np.float32))
    return out[0], out[1], out[2]


def _usual(steps: list[NDArray[np.float32]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(Z, Y, X) mean squared step between neighbours, half of here and half of the whole volume."""
    squared = np.zeros(shape, np.float32)
    for axis, step in enumerate(steps):
        if step.size:
            squared[_from(axis, 0, -1)] += step**2
    local = gaussian_filter(squared, NEIGHBOURHOOD)
    return 0.5 * local + 0.5 * float(squared.mean()) + 1e-12


def _pairs(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    return (values[_from(axis, 0, -1)] + values[_from(axis, 1, None)]) / 2


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


def neighbours(number: NDArray[np.int32], edges: Edges) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Per axis and direction: the numbers of unknown voxels, the flat places next to them, the edges' weights."""
    places = np.arange(number.size, dtype=np.int32).reshape(number.shape)
    for axis, weight in enumerate(edges):
        low, high = _from(axis, 0, -1), _from(axis, 1, None)
        for here, there in ((low, high), (high, low)):
            inside = number[here] >= 0
            yield number[here][inside], places[there][inside], weight[inside]


def system_of(
    number: NDArray[np.int32],
    edges: Edges,
    held: Callable[[NDArray[np.int32]], NDArray[np.float32]],
    columns: int,
) -> tuple[System, NDArray[np.float32]]:
    """The Laplacian over the unknown voxels and what the known ones around them pull towards, (N, columns).

    `number` counts the unknown voxels, -1 elsewhere; `held` gives the (M, columns) values of known flat places.
    """
    n = int(number.max()) + 1
    degree = np.zeros(n, np.float32)
    pull = np.zeros((n, columns), np.float32)
    rows, cols, weights = [], [], []
    flat = number.ravel()
    for here, there, weight in neighbours(number, edges):
        degree[here] += weight  # each voxel has one neighbour a direction: no index comes twice
        known = flat[there] < 0
        pull[here[known]] += weight[known, None] * held(there[known])
        rows.append(here[~known])
        cols.append(flat[there[~known]])
        weights.append(-weight[~known])
    off = coo_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(cols))), (n, n)).tocsr()
    return System(off, degree), pull


def solve(
    system: System, pull: NDArray[np.float32], start: NDArray[np.float32], run: Run
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
    run: Run,
) -> int:
    """Conjugate gradients, preconditioned by the diagonal, on x in place: steps taken, negative where time ran out."""
    rest = pull - matrix @ x
    z = rest / diagonal
    direction, size = z.copy(), float(rest @ z)
    limit = TOLERANCE**2 * max(float(pull @ (pull / diagonal)), 1e-12)
    for step in range(MOST_STEPS):
        if size <= limit:
            return step
        run.check()
        if run.late:
            return -step - 1
        image = matrix @ direction
        alpha = np.float32(size / max(float(direction @ image), 1e-30))
        x += alpha * direction
        rest -= alpha * image
        np.divide(rest, diagonal, out=z)
        before, size = size, float(rest @ z)
        direction *= np.float32(size / before)
        direction += z
    return MOST_STEPS


TOLERANCE = 2e-3
MOST_STEPS = 300
