"""Weighted random walks: from every labelled pixel walkers set out through the volume and vote for its class.

After P. D. Loesel et al., "Introducing Biomedisa as an open-source online platform for biomedical image segmentation",
Nature Communications 2020. A walker prefers voxels that look like the pixel it started from, so evenly bright objects
are found from very few slices. Rounds of walks repeat until the deadline or `ROUNDS`; runs on a GPU where there is one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from learners.propagate.contract import PropagationInput, PropagationResult, RunControl, as_bytes
from storage.arrays import BACKGROUND, UNLABELLED

ROUNDS = 10  # walks from every start
STEPS = 300  # of one walk; it gets about the square root of this far
WALKERS = 60_000  # at once on a CPU
SMOOTH = 0.7  # voxels over which votes are blurred


@dataclass(frozen=True)
class Starts:
    """Where walks begin."""

    places: NDArray[np.int64]  # (N,) flat, in the padded volume
    index: NDArray[np.int64]  # (N,) 0 background, k the k-th class
    brightness: NDArray[np.float32]  # (N,) 0..255
    variance: NDArray[np.float32]  # (N,) of the same class around it


def vote(case: PropagationInput, run: RunControl) -> PropagationResult:
    """The class that most walkers brought; where none came, background without any certainty."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    padded = np.pad(as_bytes(case.image).astype(np.float32), 1)
    image = torch.from_numpy(padded.ravel()).to(device)
    inside = torch.from_numpy(np.pad(np.ones(case.shape, bool), 1).ravel()).to(device)
    starts = _starts(case, padded)
    hits = torch.zeros((len(case.classes) + 1) * padded.size, dtype=torch.float32, device=device)
    moves = torch.tensor(_moves(padded.shape), device=device)
    slow = torch.tensor(
        [(min(case.spacing_mm) / mm) ** 2 for mm in case.spacing_mm for _ in (0, 1)], device=device
    )
    rng = torch.Generator(device).manual_seed(0)
    parts = _parts(starts, ROUNDS, len(starts.places) if device.type == "cuda" else WALKERS)
    done = 0
    for part in parts:
        if run.out_of_time and done:
            break
        run.progress(done / len(parts))
        _send(part, (image, inside, moves, slow.float()), hits, rng, run)
        done += 1
    counts = hits.cpu().numpy().reshape(-1, *padded.shape)[:, 1:-1, 1:-1, 1:-1]
    return _judged(case, counts, finished=done == len(parts))


def _send(part: Starts, world: tuple[Any, ...], hits: Any, rng: Any, run: RunControl) -> None:
    """One walk from every start through the `world` of vote(); counts arrivals in place."""
    import torch

    image, inside, moves, slow = world
    home = torch.from_numpy(part.places).to(image.device)
    offset = torch.from_numpy(part.index).to(image.device) * len(image)
    wanted = torch.from_numpy(part.brightness).to(image.device)[:, None]
    scale = -0.5 / torch.from_numpy(part.variance).to(image.device)[:, None]
    one = torch.ones(len(home), device=image.device)
    at = home
    for step in range(STEPS):
        if step % 16 == 0:
            run.check()
        there = at[:, None] + moves
        chance = torch.exp(scale * (image[there] - wanted) ** 2) * slow + 1e-12
        ends = chance.cumsum(1)
        draw = torch.rand(len(at), 1, generator=rng, device=image.device) * ends[:, -1:]
        chosen = there.gather(1, (ends < draw).sum(1, keepdim=True).clamp(max=5))[:, 0]
        at = torch.where(inside[chosen], chosen, at)  # a step out of the volume is not taken, but counts
        hits.scatter_add_(0, offset + at, one)


def _starts(case: PropagationInput, padded: NDArray[np.float32]) -> Starts:
    """Every known voxel that is not far inside what is known around it."""
    table = np.zeros(256, np.int64)
    table[list(case.classes)] = np.arange(1, len(case.classes) + 1)
    known = np.pad(case.known, 1, constant_values=UNLABELLED)
    places = np.flatnonzero(known.ravel() != UNLABELLED)
    variance = np.ones(padded.shape, np.float32)
    for value in (BACKGROUND, *case.classes):
        same = known == value
        variance[same] = _spread(padded, same)[same]
    return Starts(
        places, table[known.ravel()[places]], padded.ravel()[places], variance.ravel()[places].clip(1, None)
    )


def _spread(image: NDArray[np.float32], same: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean squared difference between a voxel and those around it that are in the same class."""
    count = uniform_filter(same.astype(np.float32), 3) + 1e-6
    mean = uniform_filter(np.where(same, image, 0), 3) / count
    square = uniform_filter(np.where(same, image**2, 0), 3) / count
    return square - 2 * image * mean + image**2


def _moves(shape: tuple[int, ...]) -> list[int]:
    """Flat steps to the six neighbours."""
    _, y, x = shape
    return [y * x, -y * x, x, -x, 1, -1]


def _parts(starts: Starts, rounds: int, most: int) -> list[Starts]:
    """Every round in portions of at most so many walkers, starts in a fixed random order."""
    order = np.random.default_rng(0).permutation(len(starts.places))
    portions = [order[i : i + most] for i in range(0, len(order), most)]
    return [
        Starts(starts.places[p], starts.index[p], starts.brightness[p], starts.variance[p])
        for _ in range(rounds)
        for p in portions
    ]


def _judged(case: PropagationInput, counts: NDArray[np.float32], *, finished: bool) -> PropagationResult:
    """The class with most arrivals; sure where the next ones have far fewer."""
    smooth = np.stack([gaussian_filter(count, SMOOTH) for count in counts])
    ordered = np.sort(smooth, 0)
    index = smooth.argmax(0)
    total = ordered.sum(0)
    probability = np.where(total > 0, ordered[-1] / np.maximum(total, 1e-6), 0)
    return PropagationResult(
        np.array([BACKGROUND, *case.classes], np.uint8)[index], probability.astype(np.float32), finished
    )
